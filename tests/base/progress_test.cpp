// without libtorch
#include "ritz/base/progress.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "ritz/base/error.h"
#include "ritz/base/interrupt.h"

namespace {

TEST(Progress, LineHasPartRateAndTimeLeft) {
  const std::string line = ritz::progress_line("training", 50, 100, 50, 10, 100);
  EXPECT_EQ(line, "training  [############            ]   50 %  5/s  10 s left");
  EXPECT_EQ(ritz::progress_line("reading", 7, 0, 7, 2, 100), "reading  7  3.5/s");
}

TEST(Progress, RateCountsFromWhereItBegan) {
  // Resumed at 90 of 100; 5 steps in 1 s leave 5 steps, 1 s.
  const std::string line = ritz::progress_line("t", 95, 100, 5, 1, 100);
  EXPECT_NE(line.find("5/s  1 s left"), std::string::npos) << line;
}

TEST(Progress, LineNeverWrapsAndOddNumbersAreDrawn) {
  EXPECT_EQ(ritz::progress_line("a long name of a step", 1, 3, 1, 1, 20).size(), 19u);
  EXPECT_NE(ritz::progress_line("t", 7, 3, 7, 0, 100).find("100 %"), std::string::npos);
  EXPECT_NE(ritz::progress_line("t", -1, 3, 0, 1, 100).find("  0 %"), std::string::npos);
}

TEST(Progress, WritesNothingWhereThereIsNoTerminal) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const int saved = dup(STDERR_FILENO);
  dup2(ends[1], STDERR_FILENO);
  {
    ritz::Progress progress(true);
    for (int i = 0; i <= 100; ++i) progress.update("step", i, 100);
  }
  std::fflush(stderr);
  dup2(saved, STDERR_FILENO);
  close(saved);
  close(ends[1]);
  char byte = 0;
  EXPECT_EQ(read(ends[0], &byte, 1), 0);
  close(ends[0]);
}

TEST(Timer, DurationsAsPeopleSayThem) {
  EXPECT_EQ(ritz::duration_text(0.314), "0.31 s");
  EXPECT_EQ(ritz::duration_text(41.7), "42 s");
  EXPECT_EQ(ritz::duration_text(192), "3 min 12 s");
  EXPECT_EQ(ritz::duration_text(7500), "2 h 5 min");
  EXPECT_EQ(ritz::duration_text(-1), "?");
}

TEST(Interrupt, FirstSignalSetsTheFlagSecondOneKills) {
  EXPECT_FALSE(ritz::interrupted());
  EXPECT_EXIT(
      {
        ritz::catch_interrupts();
        raise(SIGTERM);
        if (!ritz::interrupted()) std::_Exit(1);
        try {
          ritz::check_interrupt("step 3");
        } catch (const ritz::Interrupted&) {
          std::_Exit(130);
        }
      },
      testing::ExitedWithCode(130), "");
  EXPECT_EXIT(
      {
        ritz::catch_interrupts();
        raise(SIGINT);
        raise(SIGINT);
        std::_Exit(0);
      },
      testing::KilledBySignal(SIGINT), "");
}

TEST(Interrupt, SignalsThatTheParentIgnoresStayIgnored) {
  EXPECT_EXIT(
      {
        std::signal(SIGINT, SIG_IGN);
        ritz::catch_interrupts();
        raise(SIGINT);
        std::_Exit(ritz::interrupted() ? 1 : 0);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
