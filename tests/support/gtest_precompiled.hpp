// Precompiled for test programs: GoogleTest and the standard library cost 3 s in every file.
#pragma once
#include <gtest/gtest.h>

#include "core/std_precompiled.hpp"
