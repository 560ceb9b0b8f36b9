#include "minidl/dist/mpi/mpi_communicator.h"

#include "minidl/dist/mpi/work_queue.h"
#include "minidl/kernels/common/check.h"

namespace minidl::dist {
namespace {

Block block_of(const char* op, const Tensor& tensor) {
  check(tensor.device().is_cpu(), "{}: MPI moves host memory, but the tensor is {}", op,
        describe(tensor));
  return {static_cast<std::byte*>(tensor.raw_data()), static_cast<std::size_t>(tensor.numel()),
          tensor.dtype()};
}

// "5 f32 from rank 0: the buffers".
std::string describe(const Tensor& tensor, const std::string& where, const std::string& purpose) {
  return fmt::format("{} {}{}{}{}", tensor.numel(), tensor.dtype(), where,
                     purpose.empty() ? "" : ": ", purpose);
}

class World final : public MpiCommunicator {
 public:
  World(std::chrono::milliseconds timeout, const WorkQueue::Report& report)
      : queue_(std::make_shared<WorkQueue>(timeout, report)) {
    queue_->start();
  }
  ~World() override { queue_->stop(); }

  int rank() const override { return queue_->rank(); }
  int size() const override { return queue_->size(); }

  void finalize() override {
    queue_
        ->add(
            "finalize", "the end of the job",
            [](Collectives& collectives, int tag) { collectives.barrier(tag); }, true)
        ->wait();
  }

  void abort(int exit_code) noexcept override { queue_->abort(exit_code); }

 private:
  // The bodies hold the tensors, which keeps them alive until they have run.

  WorkPtr start_all_reduce(const Tensor& tensor, Reduction op,
                           const std::string& purpose) override {
    const Block block = block_of("all_reduce", tensor);
    return queue_->add("all_reduce", describe(tensor, "", purpose),
                       [tensor, block, op](Collectives& collectives, int tag) {
                         collectives.all_reduce(block, op, tag);
                       });
  }

  WorkPtr start_broadcast(const Tensor& tensor, int root, const std::string& purpose) override {
    const Block block = block_of("broadcast", tensor);
    return queue_->add("broadcast", describe(tensor, fmt::format(" from rank {}", root), purpose),
                       [tensor, block, root](Collectives& collectives, int tag) {
                         collectives.broadcast(block, root, tag);
                       });
  }

  WorkPtr start_all_gather(const Tensor& part, const Tensor& whole,
                           const std::string& purpose) override {
    const Block from = block_of("all_gather", part);
    const Block to = block_of("all_gather", whole);
    return queue_->add("all_gather", describe(part, " from each rank", purpose),
                       [part, whole, from, to](Collectives& collectives, int tag) {
                         collectives.all_gather(from, to, tag);
                       });
  }

  WorkPtr start_reduce_scatter(const Tensor& whole, const Tensor& part, Reduction op,
                               const std::string& purpose) override {
    const Block from = block_of("reduce_scatter", whole);
    const Block to = block_of("reduce_scatter", part);
    return queue_->add("reduce_scatter", describe(part, " for each rank", purpose),
                       [whole, part, from, to, op](Collectives& collectives, int tag) {
                         collectives.reduce_scatter(from, to, op, tag);
                       });
  }

  std::shared_ptr<WorkQueue> queue_;
};

}  // namespace

std::unique_ptr<MpiCommunicator> MpiCommunicator::world(
    std::chrono::milliseconds timeout,
    const std::function<void(const std::string& reason)>& report) {
  return std::make_unique<World>(timeout, report);
}

}  // namespace minidl::dist
