#include "minidl/dist/accumulate.h"

#include <algorithm>
#include <optional>

#include "minidl/core/ops/elementwise.h"
#include "minidl/kernels/common/check.h"

namespace minidl::dist {

void backward_in_parts(DataParallelBase& model, std::int64_t samples, std::int64_t parts,
                       const std::function<Tensor(std::int64_t begin, std::int64_t end)>& loss) {
  check(parts > 0, "backward_in_parts: a batch has at least one part, not {}", parts);
  check(samples >= 0, "backward_in_parts: the number of samples must not be negative, but is {}",
        samples);
  const std::int64_t passes = std::clamp<std::int64_t>(samples, 1, parts);
  std::optional<NoSyncGuard> local;
  if (passes > 1) local.emplace(model.no_sync());
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    const std::int64_t begin = samples * pass / passes;
    const std::int64_t end = samples * (pass + 1) / passes;
    if (pass == passes - 1) local.reset();
    const Tensor part = loss(begin, end);
    if (passes == 1) {
      part.backward();
    } else {
      // The rank's weight is the samples of all its passes, its gradient their sum.
      (part * (static_cast<double>(end - begin) / static_cast<double>(samples))).backward();
    }
  }
}

}  // namespace minidl::dist
