# SHC as its paper trains it, both networks alike.
_base_ = ['pictures.py', 'resnet34.py']

method = 'shc'
model_name = 'SHC'
num_epochs = similarity_epochs = 300
min_lr = 1e-7
