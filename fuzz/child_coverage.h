#pragma once
// Coverage of a parser that runs in a forked child (ritz/io/detail/isolated.h): the child works on
// a copy of libFuzzer's counters, which would die with it, so it leaves them in shared memory when
// it ends, and the parent adds them to its own.
//
// What libhdf5 and libmatio do to their own memory is not judged (the child is there because of
// it): they are not instrumented, and what the sanitizer sees in calls of theirs is left out. A
// finding in our code inside the child writes its crash-... file, and the parent goes on: `./dev
// fuzz` looks for such files.
#include <functional>

namespace ritz::fuzz {

/// Runs `parse`, which may fork, and counts what its children did.
void with_children(const std::function<void()>& parse);

}  // namespace ritz::fuzz
