// Included in front of every .cu file that is compiled for the host (g++ -include): the CUDA
// headers and what they give to nvcc only.
#pragma once

#if defined(__CUDACC__)
#error "cuda_host.h is for kernels that run on the host"
#endif

#define MINIDL_EMULATED 1

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "cuda/atomics.h"
#include "cuda/collectives.h"
#include "cuda/intrinsics.h"
#include "cuda/keywords.h"
#include "device.h"
#include "engine.h"
#include "tensor_map.h"
