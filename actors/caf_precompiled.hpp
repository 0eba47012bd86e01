// Precompiled for actors/: CAF's headers cost 15 s in every file that includes them.
#pragma once
#include <caf/all.hpp>
#include <caf/detail/sync_request_bouncer.hpp>
#include <caf/scoped_execution_unit.hpp>
