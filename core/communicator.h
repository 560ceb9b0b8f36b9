// What the rest of minidl asks of a group of processes. dist/ implements it over MPI; one process
// needs nothing but SingleProcess.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "minidl/core/tensor.h"

namespace minidl {

/// A collective in flight. Keeps its tensors alive, and their bytes: releasing their storage waits
/// for it.
class Work : public StorageUse {
 public:
  /// Whether the result is there (or an error is waiting to be thrown).
  bool done() const override = 0;

  /// Returns when the result is there. Throws Error if the collective failed, which it does when
  /// it takes longer than the communicator allows, or if `deadline` passes first: then the wait may
  /// be taken up again. The message names operation, sequence number, purpose, rank and seconds.
  virtual void wait(std::optional<std::chrono::milliseconds> deadline = {}) = 0;

  void finish() override { wait(); }
};
using WorkPtr = std::shared_ptr<Work>;

enum class Reduction { sum, mean, max, min };

/// A group of processes that call the same collectives in the same order. Each communicator keeps
/// one FIFO: every collective enters it when it is called and runs in that order, whichever thread
/// called it, so a bucket in the background and a call in the foreground cannot cross. Tensors must
/// be dense (any dimension order, the same on all ranks), of equal shape and dtype on all ranks,
/// and must be left alone until wait() returns. Reductions take f32, f64, i32, i64 (mean: f32 and
/// f64); broadcast and gather take every dtype. A tensor that does not fit throws Error at the
/// call.
///
/// Every collective may be told its `purpose`, a few words that errors about it repeat: "gradients
/// of fc.weight and fc.bias".
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  bool is_main() const { return rank() == 0; }

  /// Replaces `tensor` on every rank by the reduction over all ranks. The order of the sum is
  /// fixed: the same inputs give the same bits.
  WorkPtr all_reduce(const Tensor& tensor, Reduction op = Reduction::sum,
                     const std::string& purpose = {});

  /// Copies `tensor` of rank `root` into everybody's.
  WorkPtr broadcast(const Tensor& tensor, int root = 0, const std::string& purpose = {});

  /// Lays the `part` of every rank one after the other into `whole`, of size() times as many
  /// elements.
  WorkPtr all_gather(const Tensor& part, const Tensor& whole, const std::string& purpose = {});

  /// Reduces `whole` over the ranks and leaves each with its `part`, the 1 / size() at its rank.
  WorkPtr reduce_scatter(const Tensor& whole, const Tensor& part, Reduction op = Reduction::sum,
                         const std::string& purpose = {});

  /// Returns when every rank has called it.
  void barrier(const std::string& purpose = {});

  /// Every rank's text, on every rank, in the order of the ranks.
  std::vector<std::string> all_gather_text(const std::string& text,
                                           const std::string& purpose = {});

 private:
  // The same, with operands that were checked.
  virtual WorkPtr start_all_reduce(const Tensor& tensor, Reduction op,
                                   const std::string& purpose) = 0;
  virtual WorkPtr start_broadcast(const Tensor& tensor, int root, const std::string& purpose) = 0;
  virtual WorkPtr start_all_gather(const Tensor& part, const Tensor& whole,
                                   const std::string& purpose) = 0;
  virtual WorkPtr start_reduce_scatter(const Tensor& whole, const Tensor& part, Reduction op,
                                       const std::string& purpose) = 0;
};

/// The group of one: collectives return at once.
class SingleProcess final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }

 private:
  WorkPtr start_all_reduce(const Tensor& tensor, Reduction op, const std::string& purpose) override;
  WorkPtr start_broadcast(const Tensor& tensor, int root, const std::string& purpose) override;
  WorkPtr start_all_gather(const Tensor& part, const Tensor& whole,
                           const std::string& purpose) override;
  WorkPtr start_reduce_scatter(const Tensor& whole, const Tensor& part, Reduction op,
                               const std::string& purpose) override;
};

}  // namespace minidl
