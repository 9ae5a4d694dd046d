// without libtorch
#include "ritz/base/error.h"

#include <gtest/gtest.h>

#include <limits>

#include "ritz/base/check.h"

namespace {

TEST(Error, SaysWhatWasExpectedAndFoundOnOneLine) {
  const ritz::DataError error("shape", "3 dimensions", "2\nrows", "a.npy");
  EXPECT_STREQ(error.what(), "shape: expected 3 dimensions, found 2\\x0arows (a.npy)");
}

TEST(Check, RejectsNanInfAndOutOfRange) {
  EXPECT_THROW(ritz::check_positive("lr", std::numeric_limits<double>::quiet_NaN()),
               ritz::InvalidArgument);
  EXPECT_THROW(ritz::check_positive("lr", 0), ritz::InvalidArgument);
  EXPECT_THROW(ritz::check_at_least("steps", 0, 1), ritz::InvalidArgument);
  EXPECT_THROW(ritz::check_in("rho", 1.5, 0, 1), ritz::InvalidArgument);
  EXPECT_NO_THROW(ritz::check_range("b", 3, 3, 3));
}

TEST(Check, NumberTextReadsBackToTheSameBits) {
  EXPECT_EQ(ritz::number_text(0.1), "0.1");
  EXPECT_EQ(std::stod(ritz::number_text(1.0 / 3)), 1.0 / 3);
}

}  // namespace
