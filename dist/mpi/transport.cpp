#include "minidl/dist/mpi/transport.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include <mpi.h>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/cuda_support.h"

namespace minidl::dist {
namespace {

void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) length = 0;
  fail("{}: {}", call, std::string(text, static_cast<std::size_t>(length)));
}

bool is_mpi_finalized() {
  int finalized = 0;
  check_mpi(MPI_Finalized(&finalized), "MPI_Finalized");
  return finalized != 0;
}

// Between two looks at MPI or a GPU: first another look at once, as the answer is often about to
// come; then naps that grow, so that a long wait costs the computing threads next to nothing.
class Backoff {
 public:
  void reset() {
    looks_ = 0;
    nap_ = kShortestNap;
  }
  void pause() {
    if (kernels::cuda::help_along()) return;
    if (++looks_ <= kLooks) {
      std::this_thread::yield();
      return;
    }
    std::this_thread::sleep_for(nap_);
    nap_ = std::min(nap_ * 2, kLongestNap);
  }

 private:
  static constexpr int kLooks = 100;
  static constexpr std::chrono::microseconds kShortestNap{5};
  static constexpr std::chrono::microseconds kLongestNap{200};

  int looks_ = 0;
  std::chrono::microseconds nap_ = kShortestNap;
};

}  // namespace

void PendingPeers::start(const Messages& receives, const Messages& sends, int size) {
  const std::lock_guard lock(mutex_);
  messages_.assign(static_cast<std::size_t>(size), 0);
  for (const Messages* messages : {&receives, &sends}) {
    for (const Message& message : *messages) ++messages_[static_cast<std::size_t>(message.peer)];
  }
}

void PendingPeers::finish(int peer) {
  const std::lock_guard lock(mutex_);
  --messages_[static_cast<std::size_t>(peer)];
}

std::vector<int> PendingPeers::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<int> peers;
  for (std::size_t peer = 0; peer < messages_.size(); ++peer) {
    if (messages_[peer] > 0) peers.push_back(static_cast<int>(peer));
  }
  return peers;
}

struct Transport::Handles {
  MPI_Comm comm = MPI_COMM_NULL;
  // Of the exchange in progress; kept between exchanges for their memory.
  std::vector<MPI_Request> requests;
  std::vector<Message> messages;
  std::vector<MPI_Status> statuses;
  std::vector<int> indices;

  void check_arrival(const Message& message, const MPI_Status& status) const {
    int bytes = 0;
    check_mpi(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
    check(static_cast<std::size_t>(bytes) == message.bytes,
          "rank {} sent {} bytes where {} were expected: every rank must pass the same shape and "
          "dtype",
          message.peer, bytes, message.bytes);
  }

  // A message that is longer than its buffer shows as an error of its own, without a name.
  void check_statuses(int code, std::size_t receives) const {
    if (code != MPI_ERR_IN_STATUS) return check_mpi(code, "MPI_Testsome");
    for (std::size_t i = 0; i < indices.size(); ++i) {
      const int error = statuses[i].MPI_ERROR;
      if (error == MPI_SUCCESS || error == MPI_ERR_PENDING) continue;
      const auto index = static_cast<std::size_t>(indices[i]);
      int error_class = MPI_SUCCESS;
      MPI_Error_class(error, &error_class);
      check(error_class != MPI_ERR_TRUNCATE || index >= receives,
            "rank {} sent more than the {} bytes that were expected: every rank must pass the same "
            "shape and dtype",
            messages[index].peer, messages[index].bytes);
      check_mpi(error, "MPI_Testsome");
    }
  }
};

Transport::Transport(const std::atomic<bool>& stop, PendingPeers& pending)
    : stop_(stop), pending_(pending), handles_(std::make_unique<Handles>()) {
  int provided = 0;
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  check(provided >= MPI_THREAD_FUNNELED,
        "MPI_Init_thread: this MPI was built without support for threads");
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  // Our own communicator: messages of the program's other MPI users cannot be mistaken for ours.
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &handles_->comm), "MPI_Comm_dup");
  look_around();
}

Transport::Transport(const std::atomic<bool>& stop, PendingPeers& pending, const void* communicator)
    : stop_(stop), pending_(pending), handles_(std::make_unique<Handles>()), owns_mpi_(false) {
  handles_->comm = *static_cast<const MPI_Comm*>(communicator);
  look_around();
}

void Transport::look_around() {
  check_mpi(MPI_Comm_rank(handles_->comm, &rank_), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(handles_->comm, &size_), "MPI_Comm_size");
}

Transport::~Transport() = default;

void Transport::exchange(const Messages& receives, const Messages& sends, int tag) {
  Handles& h = *handles_;
  check(owns_mpi_ || !is_mpi_finalized(),
        "MPI was finalised while a communicator on it was still in use");
  h.messages = receives;
  h.messages.insert(h.messages.end(), sends.begin(), sends.end());
  h.requests.assign(h.messages.size(), MPI_REQUEST_NULL);
  pending_.start(receives, sends, size_);
  for (std::size_t i = 0; i < h.messages.size(); ++i) {
    const Message& message = h.messages[i];
    const int bytes = static_cast<int>(message.bytes);
    if (i < receives.size()) {
      check_mpi(MPI_Irecv(message.data, bytes, MPI_BYTE, message.peer, tag, h.comm, &h.requests[i]),
                "MPI_Irecv");
    } else {
      check_mpi(MPI_Isend(message.data, bytes, MPI_BYTE, message.peer, tag, h.comm, &h.requests[i]),
                "MPI_Isend");
    }
  }

  Backoff backoff;
  std::size_t left = h.messages.size();
  while (left > 0) {
    if (stop_.load(std::memory_order_relaxed)) throw Stopped{};
    h.indices.assign(h.messages.size(), 0);
    h.statuses.resize(h.messages.size());
    int finished = 0;
    const int code = MPI_Testsome(static_cast<int>(h.requests.size()), h.requests.data(), &finished,
                                  h.indices.data(), h.statuses.data());
    h.indices.resize(static_cast<std::size_t>(std::max(finished, 0)));
    h.check_statuses(code, receives.size());
    if (h.indices.empty()) {
      check_time();
      backoff.pause();
      continue;
    }
    backoff.reset();
    for (std::size_t i = 0; i < h.indices.size(); ++i) {
      const auto index = static_cast<std::size_t>(h.indices[i]);
      if (index < receives.size()) h.check_arrival(h.messages[index], h.statuses[i]);
      pending_.finish(h.messages[index].peer);
    }
    left -= h.indices.size();
  }
}

void Transport::wait(const Event& event) {
  Backoff backoff;
  while (!event.done()) {
    check_time();
    backoff.pause();
  }
  event.synchronize();  // throws what kernels before it have found wrong
}

void Transport::check_time() const {
  if (stop_.load(std::memory_order_relaxed)) throw Stopped{};
  if (std::chrono::steady_clock::now() > deadline_) throw Late{};
}

void Transport::finalize() {
  check_mpi(MPI_Comm_free(&handles_->comm), "MPI_Comm_free");
  check_mpi(MPI_Finalize(), "MPI_Finalize");
}

void Transport::leave() {
  if (!owns_mpi_ && !is_mpi_finalized()) check_mpi(MPI_Comm_free(&handles_->comm), "MPI_Comm_free");
}

void Transport::abort(int exit_code) {
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

}  // namespace minidl::dist
