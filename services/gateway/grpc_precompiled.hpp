// Precompiled for whoever speaks gRPC: its headers cost 5 s in every file that includes them.
#pragma once
#include <grpcpp/grpcpp.h>

#include "core/std_precompiled.hpp"
