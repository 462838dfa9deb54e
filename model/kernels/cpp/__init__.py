"""The C++ kernels and how they are called."""
