// The cross entropy of log-probabilities and labels, as part of the family of softmax.h.
//
// Forward: a team per row (lines.cuh) writes the row's loss to the workspace, then one block checks
// the labels, counts the rows and adds up their losses. Backward: one block checks and counts
// again, then a thread per element writes. The host waits for nothing; wrong labels come out at the
// next synchronisation. Sums are f64, in an order that the shape decides.
//
// Bytes of memory for f32 [N, C]: forward 32 N, with label smoothing 4 N C more; backward 4 N C
// read, 4 N C written. The single block moves 16 bytes per row: at N = 65536 it is what the forward
// pass takes, where C is small; a network that makes so many rows reads far more for each of them.
//
// Versions
//   1: two launches each, not measured yet
#include <cmath>
#include <cstdint>
#include <limits>

#include "minidl/kernels/common/labels.h"
#include "minidl/kernels/cuda/lines.cuh"
#include "minidl/kernels/cuda/report.cuh"
#include "minidl/kernels/softmax.h"

namespace minidl::kernels::cuda {
namespace {

constexpr int kBlock = 256;

struct Labels {
  const std::int64_t* data;
  std::int64_t step, rows, classes, ignored;

  Labels(const CrossEntropyParams& params, const View& log_probs, const View& target)
      : data(target.ptr<std::int64_t>()),
        step(target.strides[0]),
        rows(log_probs.size(0)),
        classes(log_probs.size(1)),
        ignored(params.ignore_index) {}

  __device__ bool exists(std::int64_t label) const { return label >= 0 && label < classes; }
};

/// The operands are numbers of rows, log_probs and labels; a row of the result is f64.
template <class T>
struct RowLoss {
  double* losses;
  Line<const T> log_probs;
  Labels labels;
  double smoothing;

  template <class Team>
  __device__ void operator()(Team, const std::int64_t (&at)[3]) const {
    const std::int64_t label = labels.data[at[2]];
    const Line<const T> from = log_probs.at(at[1]);
    double loss = 0;
    if (label != labels.ignored && labels.exists(label)) {  // alike for the whole team
      loss = -(1 - smoothing) * from[label];
      if (smoothing > 0) {  // 0 * -inf would be NaN
        double sum = 0;
        Team::walk(labels.classes, [&](std::int64_t i, int) { sum += from[i]; });
        loss -= smoothing / static_cast<double>(labels.classes) * Team::fold(sum, Plus{});
      }
    }
    if (Team::rank() == 0) losses[at[0]] = loss;
  }
};

/// Over some rows: the sum of their losses, how many count, the first with a wrong label.
struct Tally {
  double loss;
  std::int64_t counted, first_bad;
};

struct JoinTallies {
  __device__ Tally operator()(const Tally& a, const Tally& b) const {
    return {a.loss + b.loss, a.counted + b.counted,
            a.first_bad < b.first_bad ? a.first_bad : b.first_bad};
  }
};

constexpr int kTallyBlock = 512;

/// Of all rows, by one block. `losses` may be null: for zeros. Reports the first wrong label.
__device__ Tally tally_rows(const Labels& labels, const double* losses, const Report& report) {
  Tally mine{0, 0, labels.rows};
  for (std::int64_t row = threadIdx.x; row < labels.rows; row += kTallyBlock) {
    const std::int64_t label = labels.data[row * labels.step];
    if (label == labels.ignored) continue;
    const bool bad = !labels.exists(label);
    mine = JoinTallies{}(mine, {losses == nullptr ? 0 : losses[row], 1, bad ? row : labels.rows});
  }
  const Tally all = block_fold<kTallyBlock>(mine, JoinTallies{});
  if (threadIdx.x == 0 && all.first_bad < labels.rows) {
    report.write(all.first_bad, labels.data[all.first_bad * labels.step], labels.classes,
                 labels.ignored);
  }
  return all;
}

/// Writes the mean loss; NaN where no row counts or a label is wrong.
template <class T>
__global__ void __launch_bounds__(kTallyBlock)
    mean_loss_kernel(Labels labels, const double* losses, T* loss, Report report) {
  const Tally all = tally_rows(labels, losses, report);
  if (threadIdx.x != 0) return;
  const bool valid = all.counted > 0 && all.first_bad == labels.rows;
  *loss = valid ? static_cast<T>(all.loss / static_cast<double>(all.counted))
                : std::numeric_limits<T>::quiet_NaN();
}

/// Writes what the gradient of each counted row is multiplied with.
template <class T>
__global__ void __launch_bounds__(kTallyBlock)
    row_scale_kernel(Labels labels, const T* dloss, T* scale, Report report) {
  const Tally all = tally_rows(labels, nullptr, report);
  if (threadIdx.x != 0) return;
  *scale = all.counted > 0 ? static_cast<T>(double{*dloss} / static_cast<double>(all.counted)) : 0;
}

/// Operands: dlogits, log_probs, labels, the number of the class. Wrong labels give zeros.
template <class T, class Index>
__global__ void __launch_bounds__(kBlock)
    backward_kernel(DeviceNest<4, Index> nest, Index count, Labels labels, const T* log_probs,
                    const T* row_scale, T target_share, T even_share, T* dlogits) {
  const T scale = *row_scale;
  const Index step = element_step<Index>();
  for (Index i = first_element<Index>(); i < count; i += step) {
    std::int64_t at[4];
    nest.locate(i, at);
    const std::int64_t label = labels.data[at[2]];
    T gradient = 0;
    if (label != labels.ignored && labels.exists(label)) {
      const T share = at[3] == label ? target_share + even_share : even_share;
      gradient = scale * (std::exp(log_probs[at[1]]) - share);
    }
    dlogits[at[0]] = gradient;
  }
}

Report report_label(const ExecContext& ctx) {
  return report_to(ctx,
                   [](const ReportValues& v) { return explain_label(v[0], v[1], v[2], v[3]); });
}

}  // namespace

void cross_entropy_forward(ExecContext& ctx, const CrossEntropyParams& params,
                           const View& log_probs, const View& target, const View& loss) {
  constexpr const char* op = "cross_entropy";
  check_label_dtype(target);
  visit_float(op, log_probs.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Labels labels(params, log_probs, target);
    const Buffer buffer = ctx.workspace(static_cast<std::size_t>(labels.rows) * sizeof(double));
    auto* losses = buffer.as<double>();
    if (labels.rows > 0) {
      const LoopNest<3> rows({labels.rows}, {{{1}, {log_probs.strides[0]}, {labels.step}}});
      const std::int64_t read = params.label_smoothing > 0 ? labels.classes : 1;
      launch_lines(
          ctx, op, rows, read, log_probs.strides[1],
          RowLoss<T>{losses, line_of<const T>(log_probs, 1), labels, params.label_smoothing});
    }
    launch(linear_launch(ctx, op, 1, kTallyBlock), mean_loss_kernel<T>, labels, losses,
           loss.ptr<T>(), report_label(ctx));
  });
}

void cross_entropy_backward(ExecContext& ctx, const CrossEntropyParams& params, const View& dloss,
                            const View& log_probs, const View& target, const View& dlogits) {
  constexpr const char* op = "cross_entropy_backward";
  check_label_dtype(target);
  visit_float(op, log_probs.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Labels labels(params, log_probs, target);
    const Buffer scale = ctx.workspace(sizeof(T));
    launch(linear_launch(ctx, op, 1, kTallyBlock), row_scale_kernel<T>, labels, dloss.ptr<T>(),
           scale.as<T>(), report_label(ctx));
    const std::int64_t count = dlogits.numel();
    if (count == 0) return;
    const auto target_share = static_cast<T>(1 - params.label_smoothing);
    const auto even_share =
        static_cast<T>(params.label_smoothing / static_cast<double>(labels.classes));
    const LoopNest<4> elements(dlogits.shape,
                               {dlogits.strides, log_probs.strides, {labels.step, 0}, {0, 1}});
    visit_nest(elements, [&]<class Index>(const DeviceNest<4, Index>& nest) {
      launch(linear_launch(ctx, op, ceil_div(count, kBlock), kBlock), backward_kernel<T, Index>,
             nest, static_cast<Index>(count), labels, log_probs.ptr<T>(), scale.as<T>(),
             target_share, even_share, dlogits.ptr<T>());
    });
  });
}

}  // namespace minidl::kernels::cuda
