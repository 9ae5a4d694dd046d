#include "ritz/base/parallel.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "ritz/base/threads.h"

namespace ritz {
namespace {

class Parallel : public testing::Test {
 protected:
  ~Parallel() override { set_threads(before_); }

 private:
  int before_ = threads();
};

TEST_F(Parallel, EveryIndexIsVisitedOnce) {
  for (const int n : {1, 2, 3}) {
    set_threads(n);
    for (const int64_t end : {0, 1, 5, 64, 1001}) {
      for (const int64_t grain : {1, 7, 500}) {
        std::vector<std::atomic<int>> visits(static_cast<size_t>(end) + 1);
        std::atomic<int> pieces = 0;
        parallel_for(0, end, grain, [&](int64_t first, int64_t last) {
          ++pieces;
          for (int64_t i = first; i < last; ++i) ++visits[static_cast<size_t>(i)];
        });
        for (int64_t i = 0; i < end; ++i) ASSERT_EQ(visits[static_cast<size_t>(i)], 1);
        EXPECT_LE(pieces, std::min<int64_t>(n, (end + grain - 1) / grain));
      }
    }
  }
}

// Waiting for one another can only end where pieces run at the same time.
TEST_F(Parallel, PiecesRunAtTheSameTime) {
  set_threads(2);
  std::atomic<int> there = 0;
  parallel_for(0, 2, 1, [&](int64_t first, int64_t last) {
    ASSERT_EQ(last - first, 1);
    ++there;
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (there < 2 && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
    EXPECT_EQ(there, 2);
  });
}

TEST_F(Parallel, LoopsWithinAPieceStayOnItsThread) {
  set_threads(2);
  parallel_for(0, 2, 1, [&](int64_t, int64_t) {
    const auto outer = std::this_thread::get_id();
    parallel_for(0, 100, 1, [&](int64_t first, int64_t last) {
      EXPECT_EQ(std::this_thread::get_id(), outer);
      EXPECT_EQ(last - first, 100);
    });
  });
}

TEST_F(Parallel, AnExceptionOfAPieceArrives) {
  set_threads(2);
  EXPECT_THROW(parallel_for(0, 2, 1,
                            [](int64_t first, int64_t) {
                              if (first == 1) throw std::runtime_error("one");
                            }),
               std::runtime_error);
}

}  // namespace
}  // namespace ritz
