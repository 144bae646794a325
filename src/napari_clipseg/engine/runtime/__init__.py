"""How a network is run: devices, batches, precision, and kernels that only serve speed."""
