#!/usr/bin/env python3
"""bench_train's counterpart in PyTorch: the same models, batches, optimizer and phases.

Needs nothing but torch. Several ranks are processes with gloo and DistributedDataParallel.
"""

import argparse
import json
import os
import socket
import statistics
import time
import warnings

warnings.filterwarnings("ignore", message="Failed to initialize NumPy")  # none is needed

import torch
import torch.distributed
import torch.multiprocessing
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

PEAK_SIZE = 2048
PEAK_REPEATS = 10
BATCHES = 8  # that the images are made for, as in bench_train


def tiny_cnn():
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.25), nn.Flatten(), nn.Linear(64 * 16 * 16, 128), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(128, 10))


def vgg11_cifar():
    layers = []
    channels = 3
    for out in (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool"):
        if out == "pool":
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out),
                   nn.ReLU(inplace=True)]
        channels = out
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


class BasicBlock(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential()
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False),
                                            nn.BatchNorm2d(out))

    def forward(self, x):
        h = self.relu(self.bn1(self.conv1(x)))
        h = self.bn2(self.conv2(h))
        h += self.downsample(x)
        return self.relu(h)


def resnet18_cifar():
    layers = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    channels = 64
    for out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [BasicBlock(channels, out, stride), BasicBlock(out, out, 1)]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


MODELS = {make.__name__: make for make in (tiny_cnn, vgg11_cifar, resnet18_cifar)}


class Images:
    """Bytes in NHWC, served shuffled and normalised: what bench_train's loader does."""

    def __init__(self, count):
        self.pixels = torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8)
        self.labels = torch.arange(count) % 10
        pixels = self.pixels.float()
        self.mean = pixels.mean((0, 1, 2))
        self.scale = 1 / pixels.std((0, 1, 2))

    def batches(self, size):
        while True:
            order = torch.randperm(len(self.labels))
            for start in range(0, len(order) - size + 1, size):
                rows = order[start:start + size]
                x = self.pixels[rows].float().sub_(self.mean).mul_(self.scale)
                yield x.permute(0, 3, 1, 2), self.labels[rows]


def flop_per_image(make_model):
    """Multiply-adds as two operations, forward and backward, by PyTorch's own count."""
    model = make_model().eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 32, 32)).sum().backward()
    return counter.get_total_flops()


def barrier(ranks):
    if ranks > 1:
        torch.distributed.barrier()


def peak_flops(ranks):
    a = torch.randn(PEAK_SIZE, PEAK_SIZE)
    b = torch.randn(PEAK_SIZE, PEAK_SIZE)
    torch.mm(a, b)
    fastest = None
    for _ in range(PEAK_REPEATS):
        barrier(ranks)
        start = time.perf_counter()
        torch.mm(a, b)
        seconds = torch.tensor(time.perf_counter() - start, dtype=torch.float64)
        if ranks > 1:
            torch.distributed.all_reduce(seconds, torch.distributed.ReduceOp.MAX)
        fastest = seconds.item() if fastest is None else min(fastest, seconds.item())
    return 2 * PEAK_SIZE**3 * ranks / fastest


def measure(options):
    torch.manual_seed(0)
    model = MODELS[options.model]().to(memory_format=torch.channels_last)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if options.ranks > 1:
        model = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4,
                                nesterov=True, fused=True)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    local = options.batch_size // options.ranks
    batches = Images(BATCHES * local).batches(local)
    marks = []  # of each step: start, loaded, computed, differentiated, updated

    def step():
        times = [time.perf_counter()]
        x, y = next(batches)
        times.append(time.perf_counter())
        loss = criterion(model(x), y)
        times.append(time.perf_counter())
        loss.backward()
        times.append(time.perf_counter())
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter())
        marks.append(times)
        return loss.item()

    for _ in range(options.warmup):
        step()
    barrier(options.ranks)
    marks.clear()
    for _ in range(options.steps):
        loss = step()
    ends = [times[0] for times in marks[1:]] + [time.perf_counter()]

    milliseconds = [1e3 * (end - times[0]) for times, end in zip(marks, ends)]
    # Of two middle values the upper, as bench_train does.
    phases = {name: 1e3 * statistics.median_high(times[i + 1] - times[i] for times in marks)
              for i, name in enumerate(("data", "forward", "backward", "optimizer"))}
    phases["other"] = 1e3 * statistics.median_high(end - times[-1]
                                                   for times, end in zip(marks, ends))
    median = statistics.median_high(milliseconds)
    return {
        "framework": "pytorch",
        "version": torch.__version__,
        "model": options.model,
        "parameters": parameters,
        "batch_size": options.batch_size,
        "ranks": options.ranks,
        "threads": torch.get_num_threads(),
        "warmup": options.warmup,
        "steps": options.steps,
        "images_per_second": 1e3 * options.batch_size / median,
        "step_ms": {"median": median, "min": min(milliseconds), "max": max(milliseconds)},
        "phases_ms": phases,
        "loss": loss,
    }


def run(rank, options, port):
    torch.set_num_threads(options.threads)
    if options.ranks > 1:
        torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank,
                                             world_size=options.ranks)
    peak = peak_flops(options.ranks) / 1e9
    flop = flop_per_image(MODELS[options.model]) / 1e9
    result = measure(options)
    if options.ranks > 1:
        torch.distributed.destroy_process_group()
    if rank > 0:
        return
    gflops = flop * result["images_per_second"]
    result |= {"gflop_per_image": flop, "gflops": gflops, "peak_gflops": peak,
               "share_of_peak": gflops / peak}
    print(f"PyTorch {result['version']}, {result['ranks']} ranks x {result['threads']} threads: "
          f"{options.model} {result['images_per_second']:.1f} images/s; a step takes "
          f"{result['step_ms']['median']:.1f} ms; "
          f"{100 * gflops / peak:.1f} % of {peak:.1f} GFLOP/s")
    for name, value in result["phases_ms"].items():
        print(f"  {name:10} {value:10.2f} ms")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)
            file.write("\n")


def main():
    parser = argparse.ArgumentParser(description="Trains as bench_train does, with PyTorch.")
    parser.add_argument("--model", choices=MODELS, default="tiny_cnn")
    parser.add_argument("--batch-size", type=int, default=128, help="all ranks together")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0,
                        help="of each rank; 0 shares the cores out")
    parser.add_argument("--ranks", type=int, default=1, help="processes, which this one starts")
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    if options.ranks < 1 or options.batch_size % options.ranks != 0:
        parser.error(f"{options.ranks} ranks do not divide a batch of {options.batch_size}")
    options.threads = options.threads or max(1, len(os.sched_getaffinity(0)) // options.ranks)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    if options.ranks == 1:
        run(0, options, 0)
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(run, (options, port), nprocs=options.ranks)


if __name__ == "__main__":
    main()
