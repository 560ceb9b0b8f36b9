// CIFAR-10 in its binary form.
#pragma once

#include <string>

#include "minidl/nn/data/images.h"

namespace minidl::data {

/// Photos, 32 x 32, colour, 10 classes. `folder` (or cifar-10-batches-bin in it) holds
/// data_batch_1.bin and so on, of which all that are there make the training set, and
/// test_batch.bin. The class names come from batches.meta.txt where there is one. Normalised by the
/// published statistics of the whole training set. Damaged files throw Error.
class Cifar10 : public ImageDataset {
 public:
  explicit Cifar10(const std::string& folder, Split split = Split::train);
};

}  // namespace minidl::data
