#include "minidl/dist/mpi/mpi_communicator.h"

#include "minidl/dist/mpi/staged_tensor.h"
#include "minidl/dist/mpi/work_queue.h"
#include "minidl/kernels/common/check.h"

namespace minidl::dist {
namespace {

// "5 f32 from rank 0: the buffers".
std::string describe(const Tensor& tensor, const std::string& where, const std::string& purpose) {
  return fmt::format("{} {}{}{}{}", tensor.numel(), tensor.dtype(), where,
                     purpose.empty() ? "" : ": ", purpose);
}

class QueuedCommunicator final : public MpiCommunicator {
 public:
  QueuedCommunicator(std::chrono::milliseconds timeout, const WorkQueue::Report& report,
                     const WorkQueue::MakeTransport& make_transport)
      : queue_(std::make_shared<WorkQueue>(timeout, report, make_transport)) {
    queue_->start();
  }
  ~QueuedCommunicator() override { queue_->stop(); }

  int rank() const override { return queue_->rank(); }
  int size() const override { return queue_->size(); }

  void finalize() override {
    queue_
        ->add(
            "finalize", "the end of the job",
            [](Collectives& collectives, int tag) {
              collectives.barrier(tag);
              return nullptr;
            },
            true)
        ->wait();
  }

  void abort(int exit_code) noexcept override { queue_->abort(exit_code); }

 private:
  // The bodies hold the tensors, which keeps them alive until they have run.

  WorkPtr start_all_reduce(const Tensor& tensor, Reduction op,
                           const std::string& purpose) override {
    auto data = std::make_shared<StagedTensor>("all_reduce", tensor);
    return queue_->add(
        "all_reduce", describe(tensor, "", purpose), [data, op](Collectives& collectives, int tag) {
          data->update(collectives,
                       [&](const Block& piece) { collectives.all_reduce(piece, op, tag); });
          return data->copies();
        });
  }

  WorkPtr start_broadcast(const Tensor& tensor, int root, const std::string& purpose) override {
    auto data = std::make_shared<StagedTensor>("broadcast", tensor);
    return queue_->add("broadcast", describe(tensor, fmt::format(" from rank {}", root), purpose),
                       [data, root, is_root = root == rank()](Collectives& collectives, int tag) {
                         if (is_root) {
                           collectives.broadcast(data->fetch(collectives), root, tag);
                         } else {
                           collectives.broadcast(data->reserve(), root, tag);
                           data->store();
                         }
                         return data->copies();
                       });
  }

  WorkPtr start_all_gather(const Tensor& part, const Tensor& whole,
                           const std::string& purpose) override {
    auto from = std::make_shared<StagedTensor>("all_gather", part);
    auto to = std::make_shared<StagedTensor>("all_gather", whole);
    return queue_->add("all_gather", describe(part, " from each rank", purpose),
                       [from, to](Collectives& collectives, int tag) {
                         collectives.all_gather(from->fetch(collectives), to->reserve(), tag);
                         to->store();
                         return to->copies();
                       });
  }

  WorkPtr start_reduce_scatter(const Tensor& whole, const Tensor& part, Reduction op,
                               const std::string& purpose) override {
    auto from = std::make_shared<StagedTensor>("reduce_scatter", whole);
    auto to = std::make_shared<StagedTensor>("reduce_scatter", part);
    return queue_->add("reduce_scatter", describe(part, " for each rank", purpose),
                       [from, to, op](Collectives& collectives, int tag) {
                         collectives.reduce_scatter(from->fetch(collectives), to->reserve(), op,
                                                    tag);
                         to->store();
                         return to->copies();
                       });
  }

  std::shared_ptr<WorkQueue> queue_;
};

}  // namespace

std::unique_ptr<MpiCommunicator> MpiCommunicator::world(
    std::chrono::milliseconds timeout,
    const std::function<void(const std::string& reason)>& report) {
  return std::make_unique<QueuedCommunicator>(
      timeout, report, [](const std::atomic<bool>& stop, PendingPeers& pending) {
        return std::make_unique<Transport>(stop, pending);
      });
}

std::unique_ptr<MpiCommunicator> MpiCommunicator::adopt(const void* communicator,
                                                        std::chrono::milliseconds timeout) {
  // Until the constructor returns, the caller waits.
  return std::make_unique<QueuedCommunicator>(
      timeout, nullptr, [communicator](const std::atomic<bool>& stop, PendingPeers& pending) {
        return std::make_unique<Transport>(stop, pending, communicator);
      });
}

}  // namespace minidl::dist
