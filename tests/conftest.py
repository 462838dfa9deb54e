import signal

import torch

torch.set_num_threads(1)  # the tests' tensors are small; two threads spinning on a busy machine only wait
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell leaves it to what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
