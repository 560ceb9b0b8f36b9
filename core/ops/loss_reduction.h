// How the losses of the elements of a batch become one.
#pragma once

namespace minidl {

enum class LossReduction {
  mean,       ///< their mean, weighted where a loss has weights of classes
  sum,        ///< their sum
  none,       ///< all of them
  batchmean,  ///< kl_div only: their sum divided by the first extent, the mathematical definition
};

}  // namespace minidl
