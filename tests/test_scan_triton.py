"""Runs `triton_cases.py`, and compiles the kernels for GPUs that need not be there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

CASES = Path(__file__).with_name("triton_cases.py")
ROOT = CASES.parents[1]
COMPILE = """
import sys, torch, triton
from triton.backends.compiler import GPUTarget
from model.kernels.scan import triton_engine, triton_kernels

class Driver:
    def get_current_target(self): return GPUTarget("cuda", int(sys.argv[1]), 32)
    def get_current_device(self): return 0
    def get_current_stream(self, device): return 0

def compile_only(kernel, programs, device, *arguments, **settings):
    code = getattr(triton_kernels, kernel).warmup(*arguments, grid=(programs,), **settings, enable_fp_fusion=True)
    print(kernel, len(code.asm["cubin"]))

triton.runtime.driver.set_active(Driver())
triton_engine._launch = compile_only
for dtype, states, present in ((torch.float32, 16, True), (torch.bfloat16, 3, False)):
    u, z = torch.zeros(2, 7, 80, dtype=dtype, requires_grad=True).chunk(2, -1)
    delta, B, C = (torch.zeros(2, 7, size, dtype=dtype) for size in (40, states, states))
    A, weight, bias = torch.zeros(40, states), torch.zeros(40, 4), torch.zeros(40)
    options = (bias, z, bias) if present else (None, None, None)
    triton_engine.selective_scan(u, delta, A, B, C, *options, num_reversed=1).sum().backward()
    triton_engine.causal_conv_silu(u, weight, bias).sum().backward()
"""


def run(*arguments, **environment):
    """In a process of its own: Triton reads TRITON_INTERPRET when it is first imported, perhaps by another test."""
    inherited = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, env={**inherited, **environment}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_cases_in_the_interpreter():
    pytest.importorskip("triton")
    assert " passed" in run("-m", "pytest", "-n", "0", "-p", "no:cacheprovider", CASES, TRITON_INTERPRET="1")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cases_on_the_gpu():
    assert " passed" in run("-m", "pytest", "-n", "0", "-p", "no:cacheprovider", CASES)


@pytest.mark.parametrize("architecture", [90])
def test_kernels_compile_for(architecture, tmp_path):
    """H100 and H200, with Triton's own ptxas: what the interpreter lets through and a compiler does not."""
    pytest.importorskip("triton")
    lines = run("-W", "error", "-c", COMPILE, architecture, TRITON_CACHE_DIR=str(tmp_path)).splitlines()
    assert [line.split()[0] for line in lines] == 2 * ["scan_forward", "scan_backward", "conv_forward", "conv_backward"]
    assert all(int(line.split()[1]) for line in lines)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says why there is none")
def test_without_a_gpu_triton_is_not_even_imported():
    code = """
import sys, torch
from model.kernels.scan import selective_scan, triton_engine
selective_scan(*torch.zeros(2, 1, 2, 3), torch.zeros(3, 4), *torch.zeros(2, 1, 2, 4))
assert triton_engine.unavailable() == "no CUDA device"
print("triton" in sys.modules)
"""
    assert run("-c", code).strip() == "False"
