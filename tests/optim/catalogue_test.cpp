// without libtorch
#include "ritz/optim/catalogue.h"

#include <gtest/gtest.h>

#include <vector>

namespace {

using namespace ritz::optim;
using Words = std::vector<std::string>;

TEST(Catalogue, EveryPresetHasItsOwnForm) {
  for (const auto& optimizer : kOptimizers) {
    for (const auto& key : optimizer.keys) {
      EXPECT_TRUE(has_form(key.form, key.preset)) << optimizer.name << " " << key.key;
    }
  }
}

TEST(Catalogue, FormsAreIntervalsWholeNumbersAndWords) {
  EXPECT_TRUE(has_form("[0,1)", "0"));
  EXPECT_FALSE(has_form("[0,1)", "1"));
  EXPECT_FALSE(has_form("(0,1]", "0"));
  EXPECT_TRUE(has_form("(0,1]", "1"));
  EXPECT_TRUE(has_form("[0,inf)", "1e300"));
  EXPECT_FALSE(has_form("[0,inf)", "inf"));
  EXPECT_FALSE(has_form("[0,inf)", "nan"));
  EXPECT_FALSE(has_form("[0,inf)", "1x"));
  EXPECT_FALSE(has_form("[0,inf)", ""));
  EXPECT_TRUE(has_form("int[1,inf)", "3"));
  EXPECT_FALSE(has_form("int[1,inf)", "2.5"));
  EXPECT_TRUE(has_form("learned|[0,1)", "learned"));
  EXPECT_TRUE(has_form("learned|[0,1)", "0.5"));
  EXPECT_FALSE(has_form("learned|[0,1)", "1.5"));
  EXPECT_TRUE(has_form("true|false", "false"));
  EXPECT_FALSE(has_form("true|false", "true|false"));
}

TEST(Settings, TakeWhatIsGivenAndPresetsForTheRest) {
  const Settings settings(find_optimizer("lamb"), Words{"beta1=0.5", "form=clamped"});
  EXPECT_EQ(settings.number("beta1"), 0.5);
  EXPECT_EQ(settings.number("eps"), 1e-6);
  EXPECT_EQ(settings.text("form"), "clamped");
}

TEST(Settings, RefuseUnknownKeysAndValuesOutOfRange) {
  const auto& sgd = find_optimizer("sgd");
  EXPECT_THROW(Settings(sgd, Words{"beta1=0.5"}), ritz::UsageError);
  EXPECT_THROW(Settings(sgd, Words{"momentum"}), ritz::UsageError);
  EXPECT_THROW(Settings(sgd, Words{"momentum=1"}), ritz::UsageError);
  EXPECT_THROW(Settings(sgd, Words{"nesterov=yes"}), ritz::UsageError);
  EXPECT_THROW(find_optimizer("magic"), ritz::UsageError);
}

}  // namespace
