# Finds nvcc, chooses the GPUs to compile for and enables the language CUDA. Included where
# MINIDL_CUDA is AUTO or ON; where AUTO finds something missing, MINIDL_CUDA becomes OFF for this
# build.
#
# CMAKE_CUDA_ARCHITECTURES, unless it is set: that of this machine's GPUs, else 75-real;80;90a-real,
# which serves Turing, Ampere, Ada, Hopper with its own instructions, and as PTX what is newer.
# Kernels are chosen by what there is code for, so "native" and "all" become numbers here.

# minidl_no_nvcc(WHY): the end of it, an error only where CUDA was asked for.
macro(minidl_no_nvcc why)
  if(MINIDL_CUDA STREQUAL "ON")
    message(FATAL_ERROR "MINIDL_CUDA=ON: ${why}")
  endif()
  message(STATUS "CUDA: off, ${why}")
  set(MINIDL_CUDA OFF)
endmacro()

# minidl_find_gpus(SEEN ARCHITECTURES): whether there is a GPU, and "86-real;90a-real" if nvidia-smi
# knows what they are.
function(minidl_find_gpus seen_variable architectures_variable)
  file(GLOB devices /dev/nvidia[0-9]* /dev/dxg)
  set(capabilities "")
  find_program(smi NAMES nvidia-smi PATHS /usr/lib/wsl/lib /usr/local/nvidia/bin NO_CACHE)
  if(smi)
    execute_process(COMMAND ${smi} --query-gpu=compute_cap --format=csv,noheader
                    OUTPUT_VARIABLE answer ERROR_QUIET RESULT_VARIABLE status TIMEOUT 20)
    if(status STREQUAL "0")
      string(REGEX MATCHALL "[0-9]+\\.[0-9]" capabilities "${answer}")
      list(REMOVE_DUPLICATES capabilities)
    endif()
  endif()
  set(architectures "")
  foreach(capability IN LISTS capabilities)
    string(REPLACE "." "" number ${capability})
    if(number EQUAL 90)
      set(number 90a)  # wgmma
    endif()
    list(APPEND architectures ${number}-real)
  endforeach()
  set(seen FALSE)
  if(devices OR architectures)
    set(seen TRUE)
  endif()
  set(${seen_variable} ${seen} PARENT_SCOPE)
  set(${architectures_variable} "${architectures}" PARENT_SCOPE)
endfunction()

minidl_find_gpus(MINIDL_GPU_SEEN MINIDL_GPU_ARCHITECTURES)
if(MINIDL_CUDA STREQUAL "AUTO" AND MINIDL_SANITIZE)
  minidl_no_nvcc("sanitizers and CUDA get in each other's way (MINIDL_CUDA=ON insists)")
elseif(MINIDL_CUDA STREQUAL "AUTO" AND NOT MINIDL_GPU_SEEN)
  minidl_no_nvcc("this machine shows no NVIDIA GPU (MINIDL_CUDA=ON builds for others)")
endif()

if(NOT MINIDL_CUDA STREQUAL "OFF" AND NOT CMAKE_CUDA_COMPILER)
  find_program(MINIDL_NVCC NAMES $ENV{CUDACXX} nvcc
               HINTS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin
               PATHS /usr/local/cuda/bin /opt/cuda/bin)
  mark_as_advanced(MINIDL_NVCC)
  if(MINIDL_NVCC)
    set(CMAKE_CUDA_COMPILER ${MINIDL_NVCC})
  else()
    minidl_no_nvcc("no nvcc was found: install the CUDA toolkit, or set CUDACXX to its nvcc")
  endif()
endif()

if(NOT MINIDL_CUDA STREQUAL "OFF")
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --version
                  OUTPUT_VARIABLE MINIDL_NVCC_VERSION ERROR_QUIET)
  string(REGEX MATCH "release ([0-9.]+)" MINIDL_NVCC_VERSION "${MINIDL_NVCC_VERSION}")
  set(MINIDL_NVCC_VERSION "${CMAKE_MATCH_1}")
  if(NOT MINIDL_NVCC_VERSION)
    minidl_no_nvcc("${CMAKE_CUDA_COMPILER} does not answer to --version")
  elseif(MINIDL_NVCC_VERSION VERSION_LESS 12.0)
    minidl_no_nvcc("${CMAKE_CUDA_COMPILER} is ${MINIDL_NVCC_VERSION}; kernels need 12.0 or newer")
  endif()
endif()

if(NOT MINIDL_CUDA STREQUAL "OFF")
  if(NOT CMAKE_CUDA_HOST_COMPILER AND DEFINED ENV{CUDAHOSTCXX})
    set(CMAKE_CUDA_HOST_COMPILER $ENV{CUDAHOSTCXX})
  elseif(NOT CMAKE_CUDA_HOST_COMPILER)
    set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})  # one compiler, one standard library
  endif()
  # The verdict is kept in the build folder.
  if(NOT DEFINED MINIDL_NVCC_WORKS)
    set(MINIDL_TRY ${PROJECT_BINARY_DIR}/CMakeFiles/minidl_nvcc)
    file(WRITE ${MINIDL_TRY}.cu "#include <string>\nstd::string text() { return {}; }\n"
               "__global__ void kernel() {}\n")
    execute_process(COMMAND ${CMAKE_CUDA_COMPILER} -std=c++20 -ccbin ${CMAKE_CUDA_HOST_COMPILER}
                            -c ${MINIDL_TRY}.cu -o ${MINIDL_TRY}.o
                    RESULT_VARIABLE MINIDL_TRY_STATUS ERROR_FILE ${MINIDL_TRY}.log OUTPUT_QUIET)
    if(MINIDL_TRY_STATUS STREQUAL "0")
      set(MINIDL_NVCC_WORKS TRUE CACHE INTERNAL "")
    endif()
  endif()
  if(NOT MINIDL_NVCC_WORKS)
    minidl_no_nvcc("${CMAKE_CUDA_COMPILER} ${MINIDL_NVCC_VERSION} does not take the C++ compiler \
${CMAKE_CUDA_HOST_COMPILER} (see ${MINIDL_TRY}.log)")
  endif()
endif()

if(NOT MINIDL_CUDA STREQUAL "OFF")
  set(MINIDL_ARCHITECTURES 75-real 80 90a-real)
  if(NOT CMAKE_CUDA_ARCHITECTURES AND DEFINED ENV{CUDAARCHS})
    set(CMAKE_CUDA_ARCHITECTURES "$ENV{CUDAARCHS}")
  endif()
  if(CMAKE_CUDA_ARCHITECTURES MATCHES "^all")
    set(CMAKE_CUDA_ARCHITECTURES "${MINIDL_ARCHITECTURES}" CACHE STRING "" FORCE)
  elseif(NOT CMAKE_CUDA_ARCHITECTURES OR CMAKE_CUDA_ARCHITECTURES STREQUAL "native")
    if(MINIDL_GPU_ARCHITECTURES)
      set(MINIDL_ARCHITECTURES ${MINIDL_GPU_ARCHITECTURES})
    endif()
    set(CMAKE_CUDA_ARCHITECTURES "${MINIDL_ARCHITECTURES}"
        CACHE STRING "GPUs to compile for" FORCE)
  endif()
  if(CMAKE_CUDA_ARCHITECTURES MATCHES "(^|;)90(-real|-virtual)?(;|$)" AND
     NOT CMAKE_CUDA_ARCHITECTURES MATCHES "90a")
    message(WARNING "CMAKE_CUDA_ARCHITECTURES=${CMAKE_CUDA_ARCHITECTURES} leaves Hopper's own "
                    "matrix instructions out; 90a-real has them")
  endif()
  set(CMAKE_CUDA_RUNTIME_LIBRARY None)  # linked as a file, below
  enable_language(CUDA)
  find_package(CUDAToolkit 12.0 REQUIRED)
  find_library(MINIDL_CUDART cudart_static HINTS ${CUDAToolkit_LIBRARY_DIR} REQUIRED)
  mark_as_advanced(MINIDL_CUDART)
  message(STATUS "CUDA: nvcc ${CMAKE_CUDA_COMPILER_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
  set(MINIDL_CUDA ON)
endif()

# minidl_nvcc_sources(TARGET FILE...): adds CUDA sources to a target of ours, compiled by nvcc.
function(minidl_nvcc_sources target)
  set(kernels ${target}_cuda)
  minidl_nvcc_objects(${target} ${ARGN})
  if(MINIDL_CCACHE)
    set_target_properties(${kernels} PROPERTIES CUDA_COMPILER_LAUNCHER ${MINIDL_CCACHE})
  endif()
  target_include_directories(${kernels} PRIVATE ${MINIDL_INCLUDE_DIR} ${PROJECT_SOURCE_DIR})
  if(MINIDL_WERROR)
    target_compile_options(${kernels} PRIVATE --Werror=all-warnings)
  endif()
  # The runtime as a static library: the driver's functions come through it, so that programs start
  # where there is no driver.
  target_link_libraries(${target} PRIVATE ${MINIDL_CUDART} Threads::Threads ${CMAKE_DL_LIBS} rt)
endfunction()
