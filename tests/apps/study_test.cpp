// without libtorch
// `ritz study` as a user meets it; the studies themselves are run by .ci/run.
#include "tests/apps/program.h"

namespace {

class Study : public ritz::tests::ProgramTest {};

TEST_F(Study, ListNamesEveryStudy) {
  const auto outcome = ritz("study list --json s.json");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("batch-scaling"), std::string::npos);
  EXPECT_EQ(json("s.json")["studies"][0], "batch-scaling");
}

TEST_F(Study, WhatHasNoFullScaleSaysWhatToDoAndLeavesNothing) {
  expect_error("study batch-scaling --scale full --out s", 3, "docs/methods/batch-scaling.md");
}

}  // namespace
