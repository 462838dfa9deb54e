"""train.py as `test_distributed.py` has torchrun start it: the last of two processes gets SIGTERM in its step 8."""

import os
import runpy
import signal
import sys

from training import steps

training_step, num_steps = steps.training_step, 0


def step(*arguments, **settings):
    global num_steps
    num_steps += 1
    if os.environ["RANK"] == "1" and num_steps == 8:
        os.kill(os.getpid(), signal.SIGTERM)
    return training_step(*arguments, **settings)


if __name__ == "__main__":
    steps.training_step = step
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
