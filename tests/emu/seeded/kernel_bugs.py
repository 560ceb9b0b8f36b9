"""Bugs of kernels, by file."""

from bug import Bug

BATCH_NORM = "kernels/cuda/batch_norm.cu"
CONV = "kernels/cuda/conv.cu"
CONV_SOURCES = "kernels/cuda/conv_sources.cuh"
COPY = "kernels/cuda/copy.cu"
CROSS_ENTROPY = "kernels/cuda/cross_entropy.cu"
ELEMENTS = "kernels/cuda/elements.cuh"
EMBEDDING = "kernels/cuda/embedding.cu"
FOLD = "kernels/cuda/fold.cuh"
LAYER_NORM = "kernels/cuda/layer_norm.cu"
LINES = "kernels/cuda/lines.cuh"
MMA = "kernels/cuda/gemm/mma.cu"
MOMENTS = "kernels/cuda/moments.cuh"
NEST = "kernels/cuda/nest.cuh"
POOL = "kernels/cuda/pool.cu"
RANDOM = "kernels/cuda/random.cu"
REDUCE = "kernels/cuda/reduce.cu"
REDUCTION = "kernels/cuda/reduction_kernels.cuh"
SIMT_TILE = "kernels/cuda/gemm/simt_tile.cuh"
SOFTMAX = "kernels/cuda/softmax.cu"
SORTED = "kernels/cuda/sorted_positions.cuh"
TENSOR_EPILOGUE = "kernels/cuda/gemm/tensor_epilogue.cuh"
UPDATE_RULES = "kernels/update_rules.h"
WGMMA = "kernels/cuda/gemm/wgmma.cu"

SHARED = [
    Bug("no barrier before the parts of a fold are read", FOLD,
        "parts[threadIdx.x / 32] = value;\n    __syncthreads();",
        "parts[threadIdx.x / 32] = value;", "[fold],[softmax]"),
    Bug("no barrier between two folds", FOLD,
        "    __syncthreads();  // before somebody writes the parts of the next fold\n", "",
        "[fold],[softmax]"),
    Bug("a warp's fold begins at half a warp", FOLD, "int mask = 16;", "int mask = 8;",
        "[fold],[softmax]"),
    Bug("one warp too few is folded", FOLD, "warp < kWarps; ++warp", "warp < kWarps - 1; ++warp",
        "[fold],[softmax]"),
    Bug("the outermost stride is left out", NEST, "* strides[n][loops - 1];",
        "* strides[n][loops > 1 ? loops - 2 : 0];", "[copy]"),
    Bug("rounding of the magic number", NEST, "/ d + 1);", "/ d);", "[copy],[nest]"),
    Bug("the elements behind the last vector are forgotten", ELEMENTS,
        "if (first < walk.rest) {", "if (first + 1 < walk.rest) {", "[copy]"),
    Bug("vectors where rows are not aligned", ELEMENTS,
        "if (!aligned(strides[loop])) return false;", "", "[copy]"),
    Bug("vectors at any address", ELEMENTS,
        "return reinterpret_cast<std::uintptr_t>(operand.data()) % kAlignment == 0 && "
        "aligned(start);", "return aligned(start);", "[copy],[elementwise]"),
    Bug("an operand that is stretched is read as a vector", ELEMENTS,
        "kVector > 1 && walk.nest.strides[n][0] == 0)...);", "false)...);", "[copy]"),
    Bug("the loop has no grid stride", ELEMENTS,
        "i < walk.count; i += element_step<std::uint32_t>()", "i < walk.count; i += walk.count",
        "[copy],[elementwise]"),
]

LINES_AND_SOFTMAX = [
    Bug("an element beyond the kept ones is skipped", LINES,
        "i = kKept * kThreads + rank(); i < count", "i = kKept * kThreads + rank() + 1; i < count",
        "[softmax]"),
    Bug("a line's last elements are read past the end", LINES,
        "if (i < count) f(std::int64_t{i}, k);", "f(std::int64_t{i}, k);", "[softmax]"),
    Bug("every warp of a block takes the same line", LINES,
        "std::uint64_t{blockIdx.x} * kLines + threadIdx.x / kThreads;",
        "std::uint64_t{blockIdx.x} * kLines;", "[softmax]"),
    Bug("the maximum is not subtracted", SOFTMAX, "largest = Team::fold(largest, Larger{});",
        "largest = T{0};", "[softmax]"),
    Bug("the maximum of one thread", SOFTMAX, "largest = Team::fold(largest, Larger{});", "",
        "[softmax]"),
    Bug("the sum of one thread", SOFTMAX, "sum = Team::fold(sum, Plus{});", "", "[softmax]"),
    Bug("masked elements keep what was there", SOFTMAX,
        "if (!takes_part(i, k)) {\n        to[i] = T{0};", "if (!takes_part(i, k)) {", "[softmax]"),
    Bug("ignored rows count", CROSS_ENTROPY, "if (label == labels.ignored) continue;", "",
        "[softmax]"),
    Bug("a label equal to the number of classes passes", CROSS_ENTROPY,
        "return label >= 0 && label < classes;", "return label >= 0 && label <= classes;",
        "[softmax]"),
    Bug("the last wrong label is named, not the first", CROSS_ENTROPY,
        "a.first_bad < b.first_bad ? a.first_bad : b.first_bad}",
        "a.first_bad > b.first_bad ? a.first_bad : b.first_bad}", "[softmax]"),
    Bug("the mean is taken over all rows, ignored ones too", CROSS_ENTROPY,
        "static_cast<T>(all.loss / static_cast<double>(all.counted))",
        "static_cast<T>(all.loss / static_cast<double>(labels.rows))", "[softmax]"),
    Bug("smoothing is spread over one class less", CROSS_ENTROPY,
        "static_cast<T>(params.label_smoothing / static_cast<double>(labels.classes));",
        "static_cast<T>(params.label_smoothing / static_cast<double>(labels.classes - 1));",
        "[softmax]"),
]

GEMM = [
    Bug("simt: no barrier at the end of a slice", SIMT_TILE,
        "    __syncthreads();  // after the last slice, too: the next tile begins with writing\n",
        "", "[gemm],[matmul]"),
    Bug("simt: the next slice overwrites the one in use", SIMT_TILE,
        "store_slice(slices.b[stage ^ 1], place_b.mn, place_b.k, next_b);",
        "store_slice(slices.b[stage], place_b.mn, place_b.k, next_b);", "[gemm],[matmul]"),
    Bug("simt: no zeros beyond the last k", SIMT_TILE,
        "next_a = fetch<T>(a, place_a.k < left - kSlice);", "next_a = fetch<T>(a, true);",
        "[gemm],[matmul]"),
    Bug("simt: a row of the result is written to its end whatever its length", SIMT_TILE,
        "if (j < count) to[j] = value.v[j];", "to[j] = value.v[j];", "[gemm],[matmul]"),
    Bug("mma: a slice is multiplied before its copies have arrived", MMA,
        "if constexpr (How == Fetch::async) cp_async_wait<kStages - 2>();",
        "if constexpr (How == Fetch::async) cp_async_wait<kStages - 1>();", "[gemm]"),
    Bug("mma: no barrier between fetching and multiplying", MMA,
        "cp_async_wait<kStages - 2>();\n      __syncthreads();", "cp_async_wait<kStages - 2>();",
        "[gemm]"),
    Bug("mma: a chunk is fetched into the stage in use", MMA,
        "const int free = stage == 0 ? kStages - 1 : stage - 1;", "const int free = stage;",
        "[gemm]"),
    Bug("mma: fragments of b in the wrong order", MMA, "fragment_b[j / 2] + j % 2 * 2",
        "fragment_b[j / 2] + (j + 1) % 2 * 2", "[gemm]"),
    Bug("mma: no bound on rows that are fetched", MMA, "(mn < mn_left ? min(k_left - dk, 8) : 0)",
        "min(k_left - dk, 8)", "[gemm]"),
    Bug("mma: rows of the accumulators", MMA, "lane / 4 + 8 * h,", "lane / 4 + 4 * h,", "[gemm]"),
    Bug("tensor cores: no bound on rows that are stored", TENSOR_EPILOGUE,
        "if (row >= m || column >= n) return;", "if (column >= n) return;", "[gemm]"),
    Bug("tensor cores: pairs at odd addresses", TENSOR_EPILOGUE, "if (pairs && both) {",
        "if (both) {", "[gemm]"),
    Bug("wgmma: expect counts A only", WGMMA, "Ring<TileN>::kBytesA + Ring<TileN>::kBytesB);",
        "Ring<TileN>::kBytesA);", "[gemm]"),
    Bug("wgmma: the producer waits for the wrong parity", WGMMA,
        "mbarrier_wait(ring.empty(), ring.parity ^ 1);",
        "mbarrier_wait(ring.empty(), ring.parity);", "[gemm]"),
    Bug("wgmma: the producer does not wait", WGMMA,
        "mbarrier_wait(ring.empty(), ring.parity ^ 1);\n", "\n", "[gemm]"),
    Bug("wgmma: a stage is released while it is multiplied", WGMMA, "wgmma_wait<1>();",
        "wgmma_wait<1>();\n      previous = ring.empty();", "[gemm]"),
    Bug("wgmma: results are stored before the products are done", WGMMA, "wgmma_wait_all(sums);",
        "wgmma_wait<1>();", "[gemm]"),
    Bug("wgmma: no fence before the first product", WGMMA, "      wgmma_fence();\n", "", "[gemm]"),
    Bug("wgmma: sums go on from the tile before", WGMMA, "k > 0 || i > 0);", "true);", "[gemm]"),
    Bug("wgmma: mbarriers without their fence", WGMMA, "    fence_mbarrier_init();\n", "",
        "[gemm]"),
    Bug("wgmma: the last cluster barrier is missing", WGMMA,
        "  if constexpr (Cluster > 1) cluster_sync();  // nobody leaves while peers may write to it"
        "\n", "", "[gemm]"),
    Bug("wgmma: every block fetches the first half of B", WGMMA,
        "const int n = tile.n + rank * kPart;", "const int n = tile.n;", "[gemm]"),
    Bug("wgmma: descriptor with the strides of the other major", WGMMA,
        "matrix_descriptor(slice + k * 2048, 64 * kRow, 1024, Swizzle::k128)",
        "matrix_descriptor(slice + k * 2048, 1024, 64 * kRow, Swizzle::k128)", "[gemm]"),
]

CONVOLUTION = [
    Bug("conv: a pixel left of the image counts as inside", CONV_SOURCES,
        "const bool inside = r < static_cast<unsigned>(rows) && c < static_cast<unsigned>(columns);"
        "\n    return inside ? tensor.data",
        "const bool inside = r < static_cast<unsigned>(rows);\n    return inside ? tensor.data",
        "[conv]"),
    Bug("conv: one tap too many in a row", CONV_SOURCES, "if (++tap == taps_per_row) {",
        "if (tap++ == taps_per_row) {", "[conv]"),
    Bug("conv: the step to the next row forgets the columns", CONV_SOURCES,
        "to_row(step_of_row * tensor.row - taps_of_row * step_of_column * tensor.column) {}",
        "to_row(step_of_row * tensor.row) {}", "[conv]"),
    Bug("conv: padding of the backward pass", CONV,
        "const auto rest = [&](int tap) { return residue + d.padding - tap * d.dilation; };",
        "const auto rest = [&](int tap) { return residue - tap * d.dilation; };", "[conv]"),
    Bug("conv: pixels of a class are counted as if all began at 0", CONV,
        "(d.x - residue + d.stride - 1) / d.stride", "(d.x + d.stride - 1) / d.stride", "[conv]"),
    Bug("conv: the last chunk goes on beyond the pixels", CONV,
        "add_products<T, false, false>(gradients, taps, min(p.pixels - first, p.chunk), wanted,",
        "add_products<T, false, false>(gradients, taps, p.chunk, wanted,", "[conv]"),
    Bug("conv: the first chunk is left out of the sum", CONV, "T sum = parts[i];", "T sum = 0;",
        "[conv]"),
    Bug("conv: every group has the first one's bias", CONV,
        "const int channel = group * p.channels + column;", "const int channel = column;",
        "[conv]"),
    Bug("conv: threads without sums leave before the barriers", CONV,
        "    TileSums<T> sums;\n    add_products<T, true, kKDenseWeight>(",
        "    if (!wanted) continue;\n    TileSums<T> sums;\n"
        "    add_products<T, true, kKDenseWeight>(", "[conv]"),
]

OTHERS = [
    Bug("pool: the last row of a window is left out", POOL,
        "best_index.at[k] = corner;\n    for (std::int64_t h = rows.begin; h < rows.end; ++h) {",
        "best_index.at[k] = corner;\n"
        "    for (std::int64_t h = rows.begin; h + 1 < rows.end; ++h) {", "[pool]"),
    Bug("pool: the last of equal maxima wins", POOL, "if (!(value <= current) &&",
        "if (!(value < current) &&", "[pool]"),
    Bug("pool: one window too few gives gradients", POOL,
        "return {begin, end < out_ ? end : out_};", "return {begin, end < out_ ? end : out_ - 1};",
        "[pool]"),
    Bug("pool: positions are counted in rows of the image's height", POOL,
        "const std::int64_t here = h.at[0] * width.in() + w.at[0];",
        "const std::int64_t here = h.at[0] * height.in() + w.at[0];", "[pool]"),
    Bug("reduce: columns are joined before all have written", REDUCTION,
        "parts[k][thread] = totals[k];\n    }\n    __syncthreads();",
        "parts[k][thread] = totals[k];\n    }", "[reduce]"),
    Bug("reduce: the next columns are written while some are joined", REDUCTION,
        "columns.at[Op::kInputs] + k * work.kept.strides[Op::kInputs][0]);\n      }\n    }\n"
        "    __syncthreads();",
        "columns.at[Op::kInputs] + k * work.kept.strides[Op::kInputs][0]);\n      }\n    }",
        "[reduce]"),
    Bug("reduce: the group that the end cuts off is left out", REDUCTION,
        "for (; i < end; ++i) {  // the group", "for (; i + 1 < end; ++i) {  // the group",
        "[reduce]"),
    Bug("reduce: chunks beyond the first 32 are left out", REDUCTION,
        "for (FoldIndex chunk = lane; chunk < work.chunks; chunk += 32) {",
        "for (FoldIndex chunk = lane; chunk < work.chunks; chunk += work.chunks) {", "[reduce]"),
    Bug("reduce: 16 bytes at any address", "kernels/cuda/reduction.cuh",
        "if (step != 1 || !is_aligned(data[n]) ||",
        "if (step != 1 || (n > K && !is_aligned(data[n])) ||", "[reduce]"),
    Bug("argmax: the last of equal ones wins", REDUCE, "(equal ? b.index < a.index",
        "(equal ? b.index > a.index", "[reduce]"),
    Bug("max: a NaN is lost", REDUCE, "return is_nan(b) ? b : better;", "return better;",
        "[reduce]"),
    Bug("random: all elements of a block get its first number", RANDOM,
        "Draw::draw(words, static_cast<std::size_t>(k))", "Draw::draw(words, std::size_t{0})",
        "[random]"),
    Bug("random: the block of a vector's first element for all", RANDOM,
        "(first + start) / kPerBlock", "first / kPerBlock", "[random]"),
]

NORMS = [
    Bug("moments: merging forgets the distance of the means", MOMENTS,
        "squares += other.squares + delta * delta * count * share;", "squares += other.squares;",
        "[batch_norm],[layer_norm]"),
    Bug("moments: an empty set moves the mean", MOMENTS, "if (other.count == 0) return;", "",
        "[batch_norm],[layer_norm]"),
    Bug("batch norm: the variance of a sample", BATCH_NORM, "total.squares / total.count : 0",
        "total.squares / (total.count - 1) : 0", "[batch_norm]"),
    Bug("batch norm: the gradient is not divided by the count", BATCH_NORM,
        "return static_cast<T>(static_cast<double>(sum) / count);", "return sum;",
        "[batch_norm]"),
    Bug("layer norm: threads without a row leave before the fold", LAYER_NORM,
        "    total = join_team(op, total, work.team);\n    if (!active) continue;",
        "    if (!active) continue;\n    total = join_team(op, total, work.team);",
        "[layer_norm]"),
    Bug("layer norm: every thread of a team writes the statistics", LAYER_NORM,
        "at[kRowInputs + 1], at[kRowInputs + 2], lane == 0);",
        "at[kRowInputs + 1], at[kRowInputs + 2], lane != 0);", "[layer_norm]"),
    Bug("layer norm: the last group of a row is written whole", LAYER_NORM,
        "if (k < width) out[k * steps[kRowInputs]] = results[k];",
        "out[k * steps[kRowInputs]] = results[k];", "[layer_norm]"),
    Bug("embedding: no barrier before the keys are compared", SORTED,
        "keys[thread] = mine;\n    }\n    __syncthreads();", "keys[thread] = mine;\n    }",
        "[embedding]"),
    Bug("embedding: a chunk that two rows share is added to the first", EMBEDDING,
        "const std::int64_t first_chunk = (begin + kChunk - 1) / kChunk;",
        "const std::int64_t first_chunk = begin / kChunk;", "[embedding]"),
    Bug("embedding: the padding row gets a gradient", EMBEDDING,
        "if (row == padding_idx) return sum;", "", "[embedding]"),
    Bug("embedding: an index equal to the number of rows passes", SORTED,
        "return index >= 0 && index < rows;", "return index >= 0 && index <= rows;",
        "[embedding]"),
    Bug("sgd: the momentum's first step decays", UPDATE_RULES,
        "velocity = first ? step : keep * velocity + take * step;",
        "velocity = keep * velocity + take * step;", "[optimizer]"),
]

KERNELS = SHARED + LINES_AND_SOFTMAX + GEMM + CONVOLUTION + OTHERS + NORMS
