// Gradient accumulation: one batch in several passes, for the memory of one part.
#pragma once

#include <cstdint>
#include <functional>

#include "minidl/dist/ddp.h"

namespace minidl::dist {

/// The gradients of a batch, computed in `parts` passes and sent to the other ranks once. `samples`
/// are this rank's; loss(begin, end) is the mean loss of its samples begin .. end - 1, through
/// `model`:
///
///     optimizer.zero_grad();
///     dist::backward_in_parts(model, y.size(0), 4, [&](std::int64_t begin, std::int64_t end) {
///       return dl::cross_entropy(model(x.slice(0, begin, end)), y.slice(0, begin, end));
///     });
///     optimizer.step();
///
/// Each part's loss weighs by its share of the samples, so that parts of different sizes, on ranks
/// with different numbers of samples, leave the gradients of the whole batch: those of one backward
/// of its mean loss. What depends on the other samples of a pass is another matter, batch norm
/// above all. A rank with fewer samples than parts makes fewer passes, one without any makes one.
/// All ranks must call it. Throws Error unless there is a part.
void backward_in_parts(DataParallelBase& model, std::int64_t samples, std::int64_t parts,
                       const std::function<Tensor(std::int64_t begin, std::int64_t end)>& loss);

}  // namespace minidl::dist
