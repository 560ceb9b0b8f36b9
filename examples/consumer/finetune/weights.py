"""Writes torchvision's ResNet-18 (random weights, 1000 classes) as safetensors.

    python3 weights.py resnet18.safetensors

With the safetensors package, all of this is safetensors.torch.save_model(net, path).
"""
import json
import struct
import sys

import torch
import torchvision

DTYPES = {torch.float32: "F32", torch.int64: "I64"}

torch.manual_seed(0)
state = torchvision.models.resnet18(weights=None).state_dict()
header, data = {}, bytearray()
for name, tensor in state.items():
    start = len(data)
    data += tensor.contiguous().numpy().tobytes()
    header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape),
                    "data_offsets": [start, len(data)]}
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(sys.argv[1], "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + data)
