# The runtime shim's own tests. Included by tests/CMakeLists.txt.
file(GLOB runtime_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.cpp)
set(launch_test ${CMAKE_CURRENT_LIST_DIR}/test_launch.cpp)
list(REMOVE_ITEM runtime_tests ${launch_test})

# Catch2's own handler of SIGSEGV would hide the shim's.
add_executable(test_emulated_runtime ${PROJECT_SOURCE_DIR}/tests/catch_main.cpp ${runtime_tests})
minidl_settings(test_emulated_runtime)
minidl_emulated_sources(test_emulated_runtime ${launch_test})
target_compile_definitions(test_emulated_runtime PRIVATE CATCH_CONFIG_NO_POSIX_SIGNALS)
target_include_directories(test_emulated_runtime PRIVATE ${PROJECT_SOURCE_DIR})
target_link_libraries(test_emulated_runtime PRIVATE minidl::minidl minidl_emulated_runtime
                      Catch2::Catch2)
catch_discover_tests(test_emulated_runtime TEST_PREFIX "cudart: " PROPERTIES TIMEOUT 120)
