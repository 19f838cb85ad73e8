from ...model import Model
def shipped_model(device=None):
    model = Model(device=device)
    model.load_pretrained_model()
    return model
