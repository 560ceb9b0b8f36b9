"""Bugs of the CUDA runtime layer."""

from bug import Bug

ALLOCATOR = "kernels/cuda/runtime/allocator.cpp"
DISCOVERY = "kernels/cuda/runtime/discovery.cpp"
EXEC_CONTEXT = "kernels/common/exec_context.h"
PINNED = "kernels/common/pinned_memory.cpp"
REPORTS = "kernels/cuda/runtime/reports.cpp"
STREAM = "kernels/cuda/runtime/stream.cpp"
STREAM_GUARD = "kernels/common/stream.cpp"
STAGED = "dist/mpi/staged_tensor.cpp"
TRANSFER = "kernels/cuda/runtime/transfer.cpp"

RUNTIME = [
    Bug("memory is freed before the stream that is current is done with it", ALLOCATOR,
        "if (!(current == freed.owner)) freed.last_use = current.record();", "",
        "[cuda_runtime]"),
    Bug("what is freed stays in the counters", ALLOCATOR,
        "counters_.remove(bytes, tag);", "", "[cuda_runtime]"),
    Bug("a freed block's tag is ignored", ALLOCATOR,
        "counters_.remove(bytes, tag);", "counters_.remove(bytes, MemoryTag::activation);",
        "[cuda_runtime]"),
    Bug("a pinned block is handed out while a copy uses it", PINNED,
        "return std::all_of(uses.begin(), uses.end(), "
        "[](const Event& use) { return use.done(); });",
        "return true;", "[cuda_runtime]"),
    Bug("used_by forgets the use", PINNED, "uses_.push_back(stream.record());", "",
        "[cuda_runtime]"),
    Bug("a stream does not wait for the event", STREAM,
        "check_cuda(cudaStreamWaitEvent(stream_, static_cast<CudaEvent&>(event).get(), 0),",
        "static_cast<void>(event);\n    check_cuda(cudaStreamQuery(stream_) == cudaErrorNotReady ? "
        "cudaSuccess : cudaSuccess,", "[cuda_runtime]"),
    Bug("an event is recorded on CUDA's default stream", STREAM,
        "cudaEventRecord(event_, stream);", "cudaEventRecord(event_, nullptr);",
        "[cuda_runtime]"),
    Bug("an event that is not ready counts as done", STREAM,
        "const cudaError_t status = cudaEventQuery(event_);\n"
        "    if (status == cudaErrorNotReady) {\n      cudaGetLastError();\n      return false;",
        "const cudaError_t status = cudaEventQuery(event_);\n"
        "    if (status == cudaErrorNotReady) {\n      cudaGetLastError();\n      return true;",
        "[cuda_runtime]"),
    Bug("synchronize returns at once", STREAM,
        'check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize(stream {})", native());',
        "", "[cuda_runtime]"),
    Bug("all streams are CUDA's default stream", STREAM,
        "return std::make_shared<CudaStream>(index, stream, true);",
        "cudaStreamDestroy(stream);\n"
        "  return std::make_shared<CudaStream>(index, nullptr, false);", "[cuda_runtime]"),
    Bug("copies go the wrong way", TRANSFER,
        "if (to.is_cpu()) return cudaMemcpyDeviceToHost;",
        "if (to.is_cpu()) return cudaMemcpyHostToDevice;", "[cuda_runtime]"),
    Bug("copies ignore their stream", TRANSFER,
        "static_cast<cudaStream_t>(stream.native());", "cudaStream_t{};", "[cuda_runtime]"),
    Bug("a report is thrown again and again", REPORTS,
        "record->explain = nullptr;", "", "[fold],[report]"),
    Bug("a copy to the host does not look for reports", TRANSFER,
        "if (to_device.is_cpu()) throw_reports(gpu.index);", "", "[softmax],[embedding]"),
    Bug("code for a newer GPU is taken for usable", DISCOVERY,
        "if (number > device || kind < best_kind", "if (kind < best_kind", "[library]",
        program="test_emulated_runtime"),
    Bug("a guard leaves its stream behind", STREAM_GUARD,
        "if (index_ >= 0) guarded_stream(index_) = std::move(outer_);", "", "[cuda_runtime]"),
    Bug("a guard changes nothing", STREAM_GUARD,
        "return guard.backend() != nullptr ? guard : Stream::own(device, StreamRole::compute);",
        "static_cast<void>(guard);\n  return Stream::own(device, StreamRole::compute);",
        "[cuda_runtime]"),
    Bug("workspace belongs to another stream than the kernels that use it", EXEC_CONTEXT,
        "const StreamGuard guard(device, stream);", "", "[cuda_runtime]"),
    Bug("a collective does not wait for what its caller has queued", STAGED,
        "  stream_.wait(called_);\n", "", "[gpu_collectives]", program="test_dist", ranks=2),
    Bug("a collective sends a piece before it has arrived", STAGED,
        "collectives.wait(piece.arrived);", "", "[gpu_collectives]", program="test_dist", ranks=2),
    Bug("nobody waits for the copies of a collective", STAGED,
        "return device_.is_cpu() ? nullptr : std::make_shared<StreamUse>(device_, stream_);",
        "return nullptr;", "[gpu_collectives]", program="test_dist", ranks=2),
    Bug("wait does not order the caller's stream behind the copies", "dist/mpi/work_queue.cpp",
        "    lock.unlock();\n    if (copies_ != nullptr) copies_->finish();", "    lock.unlock();",
        "[gpu_collectives]", program="test_dist", ranks=2),
]
