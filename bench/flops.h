// How much arithmetic training takes, and how much the machine could do.
#pragma once

#include <cstdint>
#include <string>

#include "minidl/core/communicator.h"

namespace minidl::bench {

/// Floating-point operations that one training step spends on one 3x32x32 image in the convolutions
/// and linear layers of an image model, a multiply-add counting as two: forward, the gradient of
/// the weights, and the gradient of the input except where nobody wants it (the first layer). The
/// direct method counts, whatever a kernel does; all other operations are left out.
double training_flops_per_image(const std::string& model);

/// Operations per second, of all ranks together, of the fastest of several f32 products of two
/// matrices of `size` rows and columns each, made by all ranks at the same time, each on its own
/// threads or `device`. All ranks must call it; all get the same figure.
double measure_peak_flops(Communicator& world, const Device& device, std::int64_t size);

}  // namespace minidl::bench
