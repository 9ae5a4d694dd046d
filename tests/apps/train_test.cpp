// without libtorch
// `ritz train` as a user meets it: files, exit codes, Ctrl-C, ranks.
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "ritz/io/array_file.h"
#include "ritz/io/safetensors.h"
#include "tests/dist/launch.h"
#include "tests/io/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

class Train : public testing::Test {
 protected:
  void SetUp() override {
    const char* program = std::getenv("RITZ_PROGRAM");
    if (program == nullptr || !fs::exists(program)) GTEST_SKIP() << "RITZ_PROGRAM is not built";
    program_ = program;
    // 200 samples of 6 numbers, the label being the largest of the first three.
    auto x = ritz::io::make_array("x", {200, 6}, ritz::io::DType::float32);
    auto y = ritz::io::make_array("y", {200}, ritz::io::DType::int64);
    auto* values = reinterpret_cast<float*>(ritz::io::mutable_data(x));
    auto* labels = reinterpret_cast<int64_t*>(ritz::io::mutable_data(y));
    for (int i = 0; i < 200; ++i) {
      for (int j = 0; j < 6; ++j) values[6 * i + j] = std::sin(static_cast<float>(i * i + 7 * j));
      labels[i] = std::max_element(values + 6 * i, values + 6 * i + 3) - (values + 6 * i);
    }
    ritz::io::write_arrays(path("x.npy"), {x}, {.force = true});
    ritz::io::write_arrays(path("y.npy"), {y}, {.force = true});
  }
  Words line(const std::string& out, const Words& more = {}) const {
    Words words{program_,   "train",       "--model", "mlp:6-16-3", "--data",  path("x.npy"),
                "--labels", path("y.npy"), "--batch", "10",         "--steps", "40",
                "--quiet",  "--threads",   "1",       "--out",      path(out)};
    for (const auto& word : more) {
      // Given again, an option replaces the one above.
      const auto old = std::find(words.begin(), words.end(), word);
      if (word.starts_with("--") && old != words.end()) words.erase(old, old + 2);
    }
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  pid_t begin(const Words& words, ritz::test::Environment environment = {}) const {
    return ritz::test::start(words, environment);
  }
  int run(const std::string& out, const Words& more = {}) const {
    return ritz::test::finish(begin(line(out, more)));
  }
  std::string path(const std::string& name) const { return folder_ / name; }
  std::string contents(const std::string& name) const { return ritz::test::read_text(path(name)); }
  bool wait_for(const std::string& name) const {
    for (int k = 0; k < 30000 && !fs::exists(path(name)); ++k) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return fs::exists(path(name));
  }

  std::string program_;
  const ritz::test::TemporaryFolder folder_;
};

TEST_F(Train, WritesItsFilesAndRepeatsItsBits) {
  ASSERT_EQ(run("a", {"--optimizer", "lamb"}), 0);
  ASSERT_EQ(run("b", {"--optimizer", "lamb"}), 0);
  EXPECT_EQ(contents("a/model.safetensors"), contents("b/model.safetensors"));
  const auto model = ritz::io::read_safetensors(path("a/model.safetensors"));
  EXPECT_EQ(model.metadata.at("model"), "mlp:6-16-3");
  EXPECT_TRUE(contents("a/log.csv").starts_with("step,epoch,loss,lr,seconds\n1,0,"));
  EXPECT_TRUE(contents("a/optimizer.csv").starts_with("step,seconds"));
  const std::string summary = contents("a/summary.json");
  for (const char* key : {"\"command\": \"train\"", "\"train_loss\": ", "\"test_loss\": null",
                          "\"steps\": 40", "\"seconds_optimizer\": ", "\"diverged_at\": null",
                          "\"resumed_from\": null", "\"words_sent\": 0"}) {
    EXPECT_NE(summary.find(key), std::string::npos) << key << " in " << summary;
  }
  EXPECT_EQ(run("c", {"--seed", "1"}), 0);
  EXPECT_NE(contents("a/model.safetensors"), contents("c/model.safetensors"));
  // The model file says all that is needed to go on from it.
  EXPECT_EQ(run("d", {"--checkpoint", path("a/model.safetensors")}), 0);
}

TEST_F(Train, ExitCodesSayWhoseFaultItWas) {
  ASSERT_EQ(run("a", {"--steps", "2"}), 0);
  EXPECT_EQ(run("a"), 2);  // it exists
  EXPECT_EQ(run("a", {"--steps", "2", "--force"}), 0);
  EXPECT_EQ(run("b", {"--optimizer", "magic"}), 2);
  EXPECT_EQ(run("b", {"--opt", "momentum=2"}), 2);
  EXPECT_EQ(run("b", {"--schedule", "sometimes"}), 2);
  EXPECT_EQ(run("b", {"--epochs", "1"}), 2);  // beside --steps
  EXPECT_EQ(run("b", {"--batch", "201"}), 3);
  EXPECT_EQ(run("b", {"--data", path("none.npy")}), 3);
  EXPECT_EQ(run("b", {"--model", "mlp:5-3"}), 3);
  EXPECT_EQ(run("b", {"--resume"}), 3);
  EXPECT_EQ(run("b", {"--memory-limit", "1000"}), 1);
  EXPECT_EQ(run("b", {"--memory-limit", "0"}), 2);
  EXPECT_FALSE(fs::exists(path("b/log.csv")));
}

TEST_F(Train, LookingIntoLayersIsReportedAndRefusedWithAWayOut) {
  ASSERT_EQ(run("a", {"--optimizer", "mkor", "--opt", "f=3", "--opt", "backend=adam"}), 0);
  EXPECT_TRUE(contents("a/optimizer.csv")
                  .starts_with("step,seconds,renewals,resets,stabilised,skipped,rank1_error,"
                               "switched,seconds_reduce,seconds_factor,seconds_precondition,"
                               "seconds_update\n1,"));
  // 14 renewals in 40 steps, of (7 + 16) + (17 + 3) words; Adam's own learning rate.
  EXPECT_NE(contents("a/summary.json").find("\"words_sent\": 602"), std::string::npos);
  EXPECT_NE(contents("a/log.csv").find("1,0,"), std::string::npos);
  EXPECT_NE(contents("a/log.csv").find(",0.001,"), std::string::npos);
  EXPECT_EQ(run("b", {"--optimizer", "mkor", "--opt", "exclude=nobody"}), 3);
  EXPECT_EQ(run("b", {"--optimizer", "mkor", "--opt", "f=0"}), 2);
  EXPECT_EQ(run("b", {"--optimizer", "mkor", "--opt", "backend=kfac"}), 2);
}

TEST_F(Train, DivergenceExitsWithFourAndItsFilesWritten) {
  EXPECT_EQ(run("a", {"--lr", "1e38"}), 4);
  EXPECT_TRUE(fs::exists(path("a/model.safetensors")));
  const std::string summary = contents("a/summary.json");
  EXPECT_EQ(summary.find("\"diverged_at\": null"), std::string::npos);
  EXPECT_NE(summary.find("\"diverged_at\": "), std::string::npos);
  EXPECT_EQ((contents("a/log.csv") + summary).find("nan"), std::string::npos);
}

TEST_F(Train, CtrlCThenResumeEndsInTheBitsOfAnUninterruptedRun) {
  const Words more{"--steps",     "4000", "--optimizer", "mkor-h",     "--opt",
                   "switch=3000", "--lr", "0.01",        "--schedule", "knee"};
  ASSERT_EQ(run("whole", more), 0);
  Words checkpointed = more;
  checkpointed.insert(checkpointed.end(), {"--checkpoint-every", "100"});
  const pid_t pid = begin(line("stopped", checkpointed));
  ASSERT_TRUE(wait_for("stopped/checkpoint.safetensors"));
  kill(pid, SIGINT);
  EXPECT_EQ(ritz::test::finish(pid), 130);
  EXPECT_FALSE(fs::exists(path("stopped/model.safetensors")));
  checkpointed.push_back("--resume");
  EXPECT_EQ(run("stopped", checkpointed), 0);
  EXPECT_EQ(contents("whole/model.safetensors"), contents("stopped/model.safetensors"));
  const auto rows = [&](const std::string& text) {
    return std::count(text.begin(), text.end(), '\n');
  };
  EXPECT_EQ(rows(contents("stopped/log.csv")), 4001);
}

TEST_F(Train, MpirunTrainsLikeOneProcessWithTheWholeBatch) {
  if (std::system("command -v mpirun > /dev/null") != 0) GTEST_SKIP() << "no mpirun here";
  const Words mkor{"--optimizer", "mkor", "--opt", "half=false", "--dtype", "float64"};
  Words whole = mkor, half = mkor;
  whole.insert(whole.end(), {"--batch", "20"});
  half.insert(half.end(), {"--batch", "10"});
  ASSERT_EQ(run("one", whole), 0);
  Words words{"mpirun", "--allow-run-as-root", "--oversubscribe", "-np", "2"};
  const Words ritz = line("two", half);
  words.insert(words.end(), ritz.begin(), ritz.end());
  ASSERT_EQ(ritz::test::finish(begin(words)), 0);
  const auto one = ritz::io::read_safetensors(path("one/model.safetensors"));
  const auto two = ritz::io::read_safetensors(path("two/model.safetensors"));
  ASSERT_EQ(one.arrays.size(), two.arrays.size());
  for (size_t k = 0; k < one.arrays.size(); ++k) {
    const auto* a = reinterpret_cast<const double*>(one.arrays[k].data);
    const auto* b = reinterpret_cast<const double*>(two.arrays[k].data);
    for (int64_t i = 0; i < one.arrays[k].count(); ++i) EXPECT_NEAR(a[i], b[i], 1e-6);
  }
  EXPECT_NE(contents("two/summary.json").find("\"ranks\": 2"), std::string::npos);
}

TEST_F(Train, ALostRankEndsTheOthersWithOne) {
  const Words words = line("a", {"--steps", "1000000", "--checkpoint-every", "50", "--optimizer",
                                 "mkor", "--opt", "f=1"});
  ritz::test::Environment environment{{"WORLD_SIZE", "2"},
                                      {"MASTER_ADDR", "127.0.0.1"},
                                      {"MASTER_PORT", std::to_string(ritz::test::free_port())}};
  environment["RANK"] = "0";
  const pid_t first = begin(words, environment);
  environment["RANK"] = "1";
  const pid_t second = begin(words, environment);
  ASSERT_TRUE(wait_for("a/checkpoint.safetensors"));
  kill(second, SIGKILL);
  EXPECT_EQ(ritz::test::finish(second), 128 + SIGKILL);
  EXPECT_EQ(ritz::test::finish(first), 1);
}

}  // namespace
