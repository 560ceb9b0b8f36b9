# The engine's own tests, in three schedules. Included by tests/CMakeLists.txt.
file(GLOB emu_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.cpp
     ${CMAKE_CURRENT_LIST_DIR}/bugs/*.cpp ${CMAKE_CURRENT_LIST_DIR}/kernels/*.cu)
add_executable(test_emu ${CMAKE_CURRENT_LIST_DIR}/support.cpp)
minidl_settings(test_emu)
minidl_emulated_sources(test_emu ${emu_tests})
target_include_directories(test_emu PRIVATE ${PROJECT_SOURCE_DIR})
target_link_libraries(test_emu PRIVATE catch_main minidl_emulator)

# minidl_emulated_tests(TARGET PREFIX [SPEC]): each test case as ctests in three schedules. SPEC says
# which, as Catch does.
function(minidl_emulated_tests target prefix)
  foreach(schedule forward reverse random)
    # Catch names its list of tests after the arguments: they must differ.
    catch_discover_tests(${target} TEST_PREFIX "${prefix} ${schedule}: " TEST_SPEC ${ARGN}
                         EXTRA_ARGS --name ${schedule}
                         PROPERTIES TIMEOUT 300 ENVIRONMENT MINIDL_EMU_SCHEDULE=${schedule})
  endforeach()
endfunction()
minidl_emulated_tests(test_emu emu "~[bugs]")
# These choose their schedules themselves. Finding names for AddressSanitizer's stack traces, which
# nobody reads, would take minutes.
catch_discover_tests(test_emu TEST_PREFIX "emu: " TEST_SPEC "[bugs]"
                     PROPERTIES TIMEOUT 300 ENVIRONMENT "ASAN_OPTIONS=detect_leaks=0:symbolize=0")

find_program(MINIDL_PYTHON NAMES python3)
mark_as_advanced(MINIDL_PYTHON)
if(MINIDL_PYTHON)
  add_test(NAME "emu: wgmma.inc is generated" COMMAND ${MINIDL_PYTHON}
           ${PROJECT_SOURCE_DIR}/kernels/cuda/ptx/generate_wgmma.py --check)
endif()
