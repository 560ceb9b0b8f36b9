#!/usr/bin/env python3
"""PyTorch's side of `bench_ops --only scaled_dot_product_attention`: milliseconds on one thread."""

import statistics
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(1)
q, k, v = (torch.randn(4, 8, 1024, 64, requires_grad=True) for _ in range(3))
weights = torch.randn(4, 8, 1024, 64)


def step(**options):
    q.grad = k.grad = v.grad = None
    start = time.perf_counter()
    output = F.scaled_dot_product_attention(q, k, v, **options)
    middle = time.perf_counter()
    output.backward(weights)
    return middle - start, time.perf_counter() - middle


for options in ({}, {"is_causal": True}, {"dropout_p": 0.1}):
    times = [step(**options) for _ in range(8)][1:]
    forward, backward = (1e3 * statistics.median(part) for part in zip(*times))
    print(f"{options}: forward {forward:.1f} ms, backward {backward:.1f} ms")
