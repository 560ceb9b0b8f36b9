#include "tests/ops/op_table.h"

namespace minidl::test {

const std::vector<OpRow>& op_table() {
  static const std::vector<OpRow> rows = [] {
    std::vector<OpRow> all;
    add_elementwise_rows(all);
    add_choice_rows(all);
    add_shape_rows(all);
    add_rearrange_rows(all);
    add_statistics_rows(all);
    add_reduce_rows(all);
    add_matmul_rows(all);
    add_image_rows(all);
    add_conv_rows(all);
    add_loss_rows(all);
    add_normalization_rows(all);
    add_attention_rows(all);
    add_indexing_rows(all);
    add_upsample_rows(all);
    return all;
  }();
  return rows;
}

}  // namespace minidl::test
