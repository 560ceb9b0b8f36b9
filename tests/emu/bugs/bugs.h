// Kernels with one mistake each, for ../test_bugs.cpp. Each function launches one and throws
// emu::Error, "wrong result" if nothing but its output was wrong.
#pragma once

#include <utility>
#include <vector>

#include "tests/emu/engine.h"

namespace emu_test {

/// The same kernels without the mistake, by name.
std::vector<std::pair<const char*, void (*)()>> correct_kernels();

namespace bugs {

// block.cpp
void barrier_in_branch();
void return_before_barrier();
void return_while_waiting();
void wrong_barrier_count();
void barrier_waits_for_too_many();
void odd_barrier_count();
void shuffle_in_branch();
void shuffle_from_inactive();
void mask_without_caller();
void different_collectives();
void mma_in_partial_warp();
void stack_overflow();
void wait_for_later_block();
void wait_for_earlier_block();
void read_until_written();
void trap();

// memory.cpp
void missing_barrier();
void missing_second_barrier();
void missing_syncwarp();
void uninitialised_shared();
void shared_overflow();
void ldmatrix_overflow();
void too_much_static();
void global_overflow();
void cp_async_overflow();
void cp_async_not_waited();
void cp_async_forgotten();
void cp_async_misaligned();
void cp_async_without_barrier();

// hopper.cpp
void wrong_parity();
void expect_too_many();
void expect_too_few();
void mbarrier_uninitialised();
void mbarrier_not_fenced();
void mbarrier_init_race();
void mbarrier_overwritten();
void too_many_arrivals();
void tma_misaligned();
void tma_past_shared();
void tma_past_global();
void tma_no_map();
void tma_not_waited();
void store_without_fence();
void store_with_late_fence();
void store_not_waited();
void store_waited_by_other();
void store_forgotten();
void wgmma_without_fence();
void wgmma_not_waited();
void wgmma_forgotten();
void wgmma_without_proxy_fence();
void wgmma_operand_overwritten();
void wgmma_wrong_n();
void wgmma_past_shared();
void wgmma_in_branch();
void arrive_at_ended();
void no_last_cluster_barrier();
void cluster_barrier_diverged();
void cluster_barrier_skipped();
void remote_race();

// copies.cpp
void im2col_offset();
void im2col_outside_box();
void im2col_tiled_map();
void im2col_tiled_load();
void im2col_expects_inside_only();
void im2col_not_waited();
void reduce_without_fence();
void reduce_not_waited();
void reduce_forgotten();
void reduce_type();
void reduce_negative();
void reduce_misaligned();
void bulk_odd_size();
void bulk_misaligned();
void bulk_expect_too_few();
void bulk_not_waited();
void bulk_store_without_fence();
void bulk_store_forgotten();
void bulk_send_without_fence();
void bulk_send_overwritten();
void bulk_send_barrier();
void bulk_send_not_waited();

}  // namespace bugs
}  // namespace emu_test
