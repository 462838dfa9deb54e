import torch

torch.set_num_threads(1)  # the tests' tensors are small; two threads spinning on a busy machine only wait
