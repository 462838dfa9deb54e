# ResNet-34 as torchvision distributes it, trained on ImageNet.
backbone = 'resnet34'
backbone_weights = 'data/resnet34-b627a593.pth'
