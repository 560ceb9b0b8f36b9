# What minidl is built with. Each message names the Debian package to install.

find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(fmt REQUIRED)

# oneDNN's own package file wants OpenCL's development files: look for header and library instead.
find_path(MINIDL_DNNL_INCLUDE_DIR dnnl.hpp)
find_library(MINIDL_DNNL_LIBRARY dnnl)
mark_as_advanced(MINIDL_DNNL_INCLUDE_DIR MINIDL_DNNL_LIBRARY)
if(NOT MINIDL_DNNL_INCLUDE_DIR OR NOT MINIDL_DNNL_LIBRARY)
  message(FATAL_ERROR "oneDNN was not found: install libdnnl-dev")
endif()

find_path(MINIDL_JSON_INCLUDE_DIR nlohmann/json.hpp)
mark_as_advanced(MINIDL_JSON_INCLUDE_DIR)
if(NOT MINIDL_JSON_INCLUDE_DIR)
  message(FATAL_ERROR "nlohmann-json was not found: install nlohmann-json3-dev")
endif()

set(MINIDL_HAS_MPI FALSE)
if(NOT MINIDL_MPI STREQUAL "OFF")
  enable_language(C)
  find_package(MPI COMPONENTS C)
  if(MPI_C_FOUND)
    set(MINIDL_HAS_MPI TRUE)
    # Otherwise mpi.h pulls in the C++ bindings that MPI dropped in 2012.
    target_compile_definitions(MPI::MPI_C INTERFACE OMPI_SKIP_MPICXX=1 MPICH_SKIP_MPICXX=1)
  elseif(MINIDL_MPI STREQUAL "ON")
    message(FATAL_ERROR "MINIDL_MPI=ON, but no MPI was found: install libopenmpi-dev openmpi-bin")
  else()
    message(STATUS "No MPI: training uses one process (for more, install libopenmpi-dev "
                   "openmpi-bin)")
  endif()
endif()

if(MINIDL_BUILD_EXAMPLES OR MINIDL_BUILD_BENCH)
  find_path(MINIDL_CLI11_INCLUDE_DIR CLI/CLI.hpp)
  mark_as_advanced(MINIDL_CLI11_INCLUDE_DIR)
  if(NOT MINIDL_CLI11_INCLUDE_DIR)
    message(FATAL_ERROR "CLI11 was not found: install libcli11-dev, or turn "
                        "MINIDL_BUILD_EXAMPLES and MINIDL_BUILD_BENCH off")
  endif()
endif()

if(MINIDL_BUILD_TESTS)
  find_package(Catch2 QUIET)
  if(NOT Catch2_FOUND)
    message(FATAL_ERROR "Catch2 was not found: install catch2, or turn MINIDL_BUILD_TESTS off")
  endif()
endif()

# minidl_use_files_of(imported-target): minidl is compiled with that target and linked with the
# files behind it. Programs that link a static minidl then need not find it again, which for MPI
# would take another language and for OpenMP the same compiler.
function(minidl_use_files_of target)
  target_compile_options(minidl PRIVATE $<TARGET_PROPERTY:${target},INTERFACE_COMPILE_OPTIONS>)
  target_compile_definitions(minidl
                             PRIVATE $<TARGET_PROPERTY:${target},INTERFACE_COMPILE_DEFINITIONS>)
  target_include_directories(minidl SYSTEM
                             PRIVATE $<TARGET_PROPERTY:${target},INTERFACE_INCLUDE_DIRECTORIES>)
  foreach(kind LIBRARIES OPTIONS)
    get_target_property(link_${kind} ${target} INTERFACE_LINK_${kind})
    if(NOT link_${kind})
      set(link_${kind} "")
    endif()
  endforeach()
  target_link_libraries(minidl PRIVATE ${link_LIBRARIES})
  target_link_options(minidl PUBLIC ${link_OPTIONS})
endfunction()
