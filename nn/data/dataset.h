// Where samples come from.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "minidl/core/tensor.h"

namespace minidl::data {

/// Samples and what they should become. The first dimension of both counts the samples.
struct Batch {
  Tensor x;
  Tensor y;
};

/// What random changes of a sample are keyed by, besides the sample's index.
struct BatchContext {
  std::uint64_t seed = 0;
  std::int64_t epoch = 0;
};

/// A numbered collection of samples. Derive from it to bring your own data.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual std::int64_t size() const = 0;

  /// The samples at `indices`, each in 0..size()-1; no indices give an empty batch of the right
  /// shape. Called by several threads at once. Random changes must depend on `context` and the
  /// index only: then neither workers nor ranks change the result.
  virtual Batch batch(std::span<const std::int64_t> indices, const BatchContext& context) const = 0;

  /// For messages.
  virtual std::string name() const { return "dataset"; }

 protected:
  Dataset() = default;
  Dataset(const Dataset&) = default;
  Dataset& operator=(const Dataset&) = default;

  /// Throws Error unless every index is in 0..size()-1.
  void check_indices(std::span<const std::int64_t> indices) const;
};

/// Two tensors with the same size(0), of any dtype. Images that are channels last stay so.
class TensorDataset final : public Dataset {
 public:
  TensorDataset(const Tensor& x, const Tensor& y);

  std::int64_t size() const override { return x_.size(0); }
  Batch batch(std::span<const std::int64_t> indices, const BatchContext& context) const override;
  std::string name() const override { return "TensorDataset"; }

 private:
  Tensor x_;
  Tensor y_;
};

}  // namespace minidl::data
