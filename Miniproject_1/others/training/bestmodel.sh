#!/usr/bin/env bash
# The eleven trainings that led to bestmodel.pth, one after the other; some 14 hours on two processor cores.
#
#     bash Miniproject_1/others/training/bestmodel.sh PHOTOS FOLDER
#
# Data and weights of each go to FOLDER, the last weights to FOLDER/11.pth. A training that was stopped continues, when
# this is started again, from its checkpoint. The random choices are not those of the shipped weights, which were made
# with earlier versions of these commands.
set -eu
photos=$1
folder=$2
mkdir -p "$folder"
here=$(cd "$(dirname "$0")/../../.." && pwd)

data() { # data NAME OPTION...: make it unless it is there
    [ -e "$folder/$1/train_data.pkl" ] || PYTHONPATH=$here python -m Miniproject_1 make-data "$photos" "$folder/$1" \
        --overwrite "${@:2}"
}

train() { # train NUMBER DATA OPTION...: unless it is done; all but the first start from the weights before
    local output=$folder/$1.pth start=()
    [ "$1" = 1 ] || start=(--start "$folder/$(($1 - 1)).pth")
    if [ -e "$output.checkpoint" ]; then
        PYTHONPATH=$here python -m Miniproject_1 train "$folder/$2" --output "$output" --resume "$output.checkpoint"
    elif [ ! -e "$output" ]; then
        PYTHONPATH=$here python -m Miniproject_1 train "$folder/$2" --output "$output" --no-hybrid "${start[@]}" "${@:3}"
    fi
}

averaged() { # averaged NAME PAIRS OPTION...: targets that are the mean of 32 draws, weaker noise in 40 % of the pairs
    data "$1" --target-draws 32 --small-crops 0.4 --validation-pairs 0 --train-pairs "$2" "${@:3}"
}

adam=(--optimizer ADAM --no-swap --batch-size 16)
muon=(--optimizer Muon --momentum 0.95 --no-swap --batch-size 16)

data single
train 1 single --epochs 2 --crop 16 --batch-size 32 --optimizer ADAM --learning-rate 0.0015 --final-learning-rate 0.0003
train 2 single --pairs 20000 --batch-size 16 --optimizer ADAM --learning-rate 0.0003 --seed 1
data mean16 --target-draws 16 --small-crops 0.4 --train-pairs 60000
train 3 mean16 --pairs 28000 "${adam[@]}" --learning-rate 0.001 --seed 2
train 4 mean16 --pairs 56000 "${adam[@]}" --learning-rate 0.0005 --seed 4
averaged 5 64000 && train 5 5 "${adam[@]}" --learning-rate 0.0005 --seed 5
averaged 6 58000 && train 6 6 "${muon[@]}" --learning-rate 0.002 --seed 6
averaged 7 60500 && train 7 7 "${muon[@]}" --learning-rate 0.002 --seed 7 --pairs 60496
averaged 8 240000 && train 8 8 "${muon[@]}" --learning-rate 0.002 --seed 9 --revive --precision bfloat16
averaged 9 300000 && train 9 9 "${muon[@]}" --learning-rate 0.0012 --seed 10 --revive --precision bfloat16 --pairs 272000
averaged 10 310000 && train 10 10 "${muon[@]}" --learning-rate 0.001 --seed 11 --revive --precision bfloat16 --pairs 290000
averaged 11 490000 --gaussian 0.15 && train 11 11 "${muon[@]}" --learning-rate 0.002 --seed 12 --revive --precision bfloat16
