"""Samples of the images that fit a noisy one, learned from pairs of noisy images alone.

`predict` gives the mean of all images that fit, which is blurred. Brown et al. propose to sample
from them instead. A sample is as sharp as a photograph; it is plausible, and it is not the truth.
"""
