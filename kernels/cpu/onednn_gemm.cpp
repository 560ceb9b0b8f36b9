#include <oneapi/dnnl/dnnl.h>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/cpu/onednn.h"

namespace minidl::kernels::cpu::onednn {
namespace {

/// While it lives, oneDNN uses one thread for the calls of this one.
class OneThread {
 public:
  OneThread() { set_num_threads(1); }
  ~OneThread() { set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_ = max_threads();
};

/// BLAS's words for a matrix of `cols` columns: as it is or transposed, and the stride.
struct Operand {
  char transposed;
  dnnl_dim_t stride;

  Operand(const MatrixOf<float>& matrix, std::int64_t cols)
      : Operand(matrix.col_stride == 1 && matrix.row_stride >= cols, matrix) {}

 private:
  Operand(bool by_rows, const MatrixOf<float>& matrix)
      : transposed(by_rows ? 'N' : 'T'), stride(by_rows ? matrix.row_stride : matrix.col_stride) {}
};

}  // namespace

void gemm(std::int64_t m, std::int64_t n, std::int64_t k, float scale, const MatrixOf<float>& a,
          const MatrixOf<float>& b, float* c, std::int64_t c_row_stride, bool accumulate) {
  const OneThread alone;
  const Operand of_a(a, k);
  const Operand of_b(b, n);
  const dnnl_status_t status =
      dnnl_sgemm(of_a.transposed, of_b.transposed, m, n, k, scale, a.data, of_a.stride, b.data,
                 of_b.stride, accumulate ? 1.0f : 0.0f, c, c_row_stride);
  check(status == dnnl_success, "oneDNN failed to multiply f32 matrices [{}, {}] and [{}, {}]: {}",
        m, k, k, n, static_cast<int>(status));
}

}  // namespace minidl::kernels::cpu::onednn
