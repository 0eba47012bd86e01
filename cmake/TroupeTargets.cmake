# Compiler settings that every target shares, and troupe_library: one static library per folder.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# For whoever builds again. What is built once is only slowed down: filling the cache costs a tenth.
option(TROUPE_CCACHE "Compile through ccache where it is installed" ON)
find_program(CCACHE ccache)
if(TROUPE_CCACHE AND CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
find_package(Threads REQUIRED)

# The same bits everywhere (docs/adr/0001): no contraction but what the source says, no fast-math.
add_compile_options(-Wall -Wextra -ffp-contract=off -fno-math-errno)
add_compile_options($<$<CONFIG:Release>:-g1>)
# Memory is cheaper than collecting garbage in it: one twentieth of the compile time.
add_compile_options("$<$<CXX_COMPILER_ID:GNU>:SHELL:--param ggc-min-heapsize=1048576>")
# GCC 12 sees these inside libstdc++ where they are not, at -O2 and not at -O3.
set(doubtful array-bounds maybe-uninitialized restrict stringop-overflow stringop-overread)
foreach(warning IN LISTS doubtful)
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-error=${warning}>)
endforeach()
# -O3 is for kernels/ (its CMakeLists.txt); elsewhere it costs compile time and gains nothing.
string(REPLACE "-O3" "-O2" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")
if(TROUPE_SANITIZE)
  add_compile_options(-fsanitize=${TROUPE_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TROUPE_SANITIZE})
endif()

# How many times longer than usual a test may take: sanitizers make programs that much slower.
# Python's part of the tests finds it in its environment (tests/support/patience.py).
set(TROUPE_TEST_PATIENCE "" CACHE STRING "Factor of the tests' deadlines; empty: by sanitizer")
function(troupe_patience result)
  set(factor 1)
  if(TROUPE_TEST_PATIENCE)
    set(factor ${TROUPE_TEST_PATIENCE})
  elseif(TROUPE_SANITIZE MATCHES "thread")
    set(factor 10)
  elseif(TROUPE_SANITIZE)
    set(factor 4)
  endif()
  set(${result} ${factor} PARENT_SCOPE)
endfunction()

# troupe_test_timeout(RESULT SECONDS): what ctest's TIMEOUT is in this build.
function(troupe_test_timeout result seconds)
  troupe_patience(factor)
  math(EXPR patient "${seconds} * ${factor}")
  set(${result} ${patient} PARENT_SCOPE)
endfunction()

# troupe_precompile(TARGET HEADER): HEADER from the repository root. Named so, not by its path: a
# precompiled header that holds the path of a clone is in no other clone's compiler cache.
function(troupe_precompile target header)
  target_precompile_headers(${target} PRIVATE "\"${header}\"")
endfunction()

# Headers cost more than what is behind them: six sources compiled as one take half the time of six
# (docs/adr/0004). Builds that are made again and again compile each alone.
option(TROUPE_UNITY "Compile the sources of a folder together, six at a time" OFF)
function(troupe_unite target)
  if(TROUPE_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
    # Included sources look like headers whose classes hold what is private to a file.
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  endif()
endfunction()

# troupe_library(NAME [LINK targets...] [PRIVATE_LINK targets...] [PRECOMPILE header] [APART]):
# every .cpp below the folder. APART: never together, for they define the same names or want other
# flags.
function(troupe_library name)
  cmake_parse_arguments(ARG "APART" "PRECOMPILE" "LINK;PRIVATE_LINK;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  if(ARG_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "${ARG_EXCLUDE}")
  endif()
  if(sources)
    add_library(${name} STATIC ${sources})
    target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
    target_link_libraries(${name} PUBLIC ${ARG_LINK} PRIVATE ${ARG_PRIVATE_LINK})
    if(ARG_PRECOMPILE)
      troupe_precompile(${name} ${ARG_PRECOMPILE})
    endif()
    if(NOT ARG_APART)
      troupe_unite(${name})
    endif()
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE ${PROJECT_SOURCE_DIR})
    target_link_libraries(${name} INTERFACE ${ARG_LINK})
  endif()
endfunction()

# troupe_test(NAME LABEL SOURCES... LINK targets...): a GoogleTest program; a ctest entry per test.
function(troupe_test name label)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LINK" ${ARGN})
  if(NOT ARG_SOURCES)
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_options(${name} PRIVATE -O1)  # what is tested keeps its own level
  list(LENGTH ARG_SOURCES source_count)
  if(source_count GREATER 3)
    troupe_precompile(${name} tests/support/gtest_precompiled.hpp)
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_LINK} test_source_dir GTest::gtest
                        GTest::gtest_main)
  troupe_test_timeout(timeout ${ARG_TIMEOUT})
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 120
                       PROPERTIES LABELS ${label} TIMEOUT ${timeout})
endfunction()

# The Python of the tests: the environment of install-deps.sh --tests, else the machine's.
set(TROUPE_PYTHON "" CACHE FILEPATH "Python for the tests; empty: .venv-tests, else python3")
function(troupe_find_python result)
  set(venv "$ENV{TROUPE_TEST_VENV}")
  if(NOT venv)
    set(venv ${PROJECT_SOURCE_DIR}/.venv-tests)
  endif()
  find_program(TROUPE_PYTHON_FALLBACK python3)
  if(TROUPE_PYTHON)
    set(${result} ${TROUPE_PYTHON} PARENT_SCOPE)
  elseif(EXISTS ${venv}/bin/python3)
    set(${result} ${venv}/bin/python3 PARENT_SCOPE)
  elseif(TROUPE_PYTHON_FALLBACK)
    set(${result} ${TROUPE_PYTHON_FALLBACK} PARENT_SCOPE)
  elseif(DEFINED ENV{CI})
    message(FATAL_ERROR "The tests need Python: bash deploy/install-deps.sh --tests")
  else()
    set(${result} "" PARENT_SCOPE)
    get_property(said GLOBAL PROPERTY TROUPE_SAID_NO_PYTHON)
    if(NOT said)
      message(STATUS "No Python: its tests are left out; bash deploy/install-deps.sh --tests")
    endif()
    set_property(GLOBAL PROPERTY TROUPE_SAID_NO_PYTHON ON)
  endif()
endfunction()

# troupe_python_test(NAME LABEL SCRIPT [ARGS...] [TIMEOUT s] [COST n] [SERIAL]): one ctest entry.
# The script finds TROUPE_BIN, TROUPE_SOURCE_DIR, TROUPE_BUILD_DIR in its environment and
# exits with 77 to be skipped (never where CI is set: see tests/support/requirement.py).
function(troupe_python_test name label script)
  cmake_parse_arguments(ARG "SERIAL" "TIMEOUT;COST" "ARGS" ${ARGN})
  troupe_find_python(python)
  if(NOT python)
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_test(NAME ${name} COMMAND ${python} ${script} ${ARG_ARGS})
  troupe_patience(patience)
  troupe_test_timeout(timeout ${ARG_TIMEOUT})
  set(environment
    TROUPE_BIN=$<TARGET_FILE:troupe> TROUPE_SOURCE_DIR=${PROJECT_SOURCE_DIR}
    TROUPE_BUILD_DIR=${PROJECT_BINARY_DIR} TROUPE_TEST_PATIENCE=${patience}
    PYTHONPATH=${PROJECT_SOURCE_DIR} PYTHONDONTWRITEBYTECODE=1)
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT ${timeout}
                       SKIP_RETURN_CODE 77 ENVIRONMENT "${environment}")
  if(ARG_COST)
    set_tests_properties(${name} PROPERTIES COST ${ARG_COST})
  endif()
  if(ARG_SERIAL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()
