// MNIST and the datasets that come in its file format, IDX.
#pragma once

#include <string>

#include "minidl/nn/data/images.h"

namespace minidl::data {

/// Handwritten digits, 28 x 28, grey, 10 classes. `folder` holds train-images-idx3-ubyte,
/// train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each as it is or
/// packed
/// (".gz"); "-idx3" may be ".idx3". Normalised by the published statistics of the training set.
/// Damaged files throw Error.
class Mnist : public ImageDataset {
 public:
  explicit Mnist(const std::string& folder, Split split = Split::train);
};

/// Articles of clothing in the files, shape and number of MNIST.
class FashionMnist : public ImageDataset {
 public:
  explicit FashionMnist(const std::string& folder, Split split = Split::train);
};

}  // namespace minidl::data
