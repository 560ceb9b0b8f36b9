// A communicator that keeps a list of what went through it.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "minidl/core/communicator.h"

namespace minidl::test {

/// Hands every collective on to another communicator and writes it down, in the order of the calls.
class RecordingCommunicator final : public Communicator {
 public:
  struct Call {
    std::string op;
    std::string purpose;
    WorkPtr work;
  };

  explicit RecordingCommunicator(Communicator& inner) : inner_(inner) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }

  const std::vector<Call>& calls() const { return calls_; }
  void forget_calls() { calls_.clear(); }
  /// Called after each call has been written down.
  void on_call(std::function<void(const Call&)> callback) { callback_ = std::move(callback); }

 private:
  WorkPtr start_all_reduce(const Tensor& tensor, Reduction op,
                           const std::string& purpose) override {
    return record("all_reduce", purpose, inner_.all_reduce(tensor, op, purpose));
  }
  WorkPtr start_broadcast(const Tensor& tensor, int root, const std::string& purpose) override {
    return record("broadcast", purpose, inner_.broadcast(tensor, root, purpose));
  }
  WorkPtr start_all_gather(const Tensor& part, const Tensor& whole,
                           const std::string& purpose) override {
    return record("all_gather", purpose, inner_.all_gather(part, whole, purpose));
  }
  WorkPtr start_reduce_scatter(const Tensor& whole, const Tensor& part, Reduction op,
                               const std::string& purpose) override {
    return record("reduce_scatter", purpose, inner_.reduce_scatter(whole, part, op, purpose));
  }

  WorkPtr record(const char* op, const std::string& purpose, WorkPtr work) {
    calls_.push_back({op, purpose, work});
    if (callback_) callback_(calls_.back());
    return work;
  }

  Communicator& inner_;
  std::vector<Call> calls_;
  std::function<void(const Call&)> callback_;
};

}  // namespace minidl::test
