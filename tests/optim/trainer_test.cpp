#include "ritz/optim/trainer.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/nn/detail/memory_meter.h"
#include "ritz/nn/models.h"
#include "ritz/nn/network_file.h"
#include "ritz/optim/make_optimizer.h"
#include "tests/dist/launch.h"
#include "tests/io/temporary_folder.h"

namespace {

using namespace ritz::optim;
using at::Tensor;
using ritz::test::read_text;
namespace fs = std::filesystem;

constexpr int64_t kSamples = 101;

Split samples(at::ScalarType dtype) {
  ritz::RandomStream random(3, ritz::stream_id("test/data"));
  const Tensor inputs = random.normal({kSamples, 6}, at::TensorOptions(dtype));
  const Tensor map = random.normal({6, 3}, at::TensorOptions(dtype));
  return {inputs, inputs.mm(map).argmax(1)};
}

ritz::nn::Network network(at::ScalarType dtype, const std::string& model = "mlp:6-8-3:tanh") {
  return ritz::nn::make_network(model,
                                {.input_shape = {6}, .outputs = 3, .tensor = dtype, .seed = 1});
}

struct Setting {
  std::string optimizer = "sgd";
  at::ScalarType dtype = at::kFloat;
  TrainerOptions options = {.batch = 8, .steps = 20, .lr = 0.05};
  std::vector<std::string> opt = {};
};

struct Outcome {
  TrainingResult result;
  Tensor parameters;
};

Outcome run(const Setting& setting, ritz::dist::ProcessGroup& group,
            Controller* controller = nullptr) {
  auto net = network(setting.dtype);
  const Settings settings(find_optimizer(setting.optimizer), setting.opt);
  auto optimizer = make_optimizer(setting.optimizer, {net, setting.options.lr, &group}, settings);
  auto options = setting.options;
  options.identity["optimizer"] = setting.optimizer;
  auto result = train({net, {}, samples(setting.dtype), *optimizer, group, controller}, options);
  return {std::move(result), net.flat_parameters()};
}

Outcome run(const Setting& setting) {
  ritz::dist::ProcessGroup alone;
  return run(setting, alone);
}

/// Empty folders that go with the test.
class Folders {
 protected:
  std::string folder(const std::string& name) const {
    const std::string path = folder_ / name;
    fs::create_directories(path);
    return path;
  }

 private:
  const ritz::test::TemporaryFolder folder_;
};

/// The rows of a log without its column `seconds`, the last one of log.csv.
std::vector<std::string> rows_without_seconds(const fs::path& path) {
  std::ifstream file(path);
  std::vector<std::string> rows;
  for (std::string line; std::getline(file, line);) rows.push_back(line.substr(0, line.rfind(',')));
  return rows;
}

void expect_same_files(const std::string& a, const std::string& b) {
  EXPECT_EQ(read_text(fs::path(a) / "model.safetensors"),
            read_text(fs::path(b) / "model.safetensors"));
  EXPECT_FALSE(read_text(fs::path(a) / "model.safetensors").empty());
  EXPECT_EQ(rows_without_seconds(fs::path(a) / "log.csv"),
            rows_without_seconds(fs::path(b) / "log.csv"));
  EXPECT_EQ(rows_without_seconds(fs::path(a) / "optimizer.csv").size(),
            rows_without_seconds(fs::path(b) / "optimizer.csv").size());
}

/// "name key=value key=value"
class EachOptimizer : public testing::TestWithParam<std::string>, protected Folders {
 protected:
  static Setting setting() {
    std::istringstream words(GetParam());
    Setting setting;
    words >> setting.optimizer;
    for (std::string word; words >> word;) setting.opt.push_back(word);
    // Its step is as long as its window.
    if (setting.optimizer == "mfac") {
      setting.options.lr /= Settings(find_optimizer("mfac"), setting.opt).number("m");
    }
    return setting;
  }
};
class Trainer : public testing::Test, protected Folders {};

TEST_P(EachOptimizer, LearnsAndRepeatsItsBits) {
  const auto first = run(setting()), second = run(setting());
  EXPECT_TRUE(at::equal(first.parameters, second.parameters));
  EXPECT_LT(first.result.log.back().loss, first.result.log.front().loss);
  EXPECT_EQ(first.result.steps, 20);
  // What a second-order method would send is counted in a group of one too.
  EXPECT_EQ(first.result.words_sent > 0, find_optimizer(setting().optimizer).needs_layers);
}

TEST_P(EachOptimizer, StoppedAndResumedEqualsUninterrupted) {
  Setting whole = setting(), halved = whole;
  whole.options.schedule = halved.options.schedule = "step:0.5@9";
  whole.options.out = folder("whole");
  run(whole);
  halved.options.out = folder("halved");
  int asked = 0;
  halved.options.stop = [&] { return ++asked == 7; };
  const auto stopped = run(halved).result;
  EXPECT_TRUE(stopped.interrupted);
  EXPECT_EQ(stopped.steps, 7);
  EXPECT_FALSE(fs::exists(fs::path(halved.options.out) / "model.safetensors"));
  halved.options.stop = nullptr;
  halved.options.resume = true;
  const auto resumed = run(halved).result;
  EXPECT_EQ(resumed.resumed_from, 7);
  EXPECT_EQ(resumed.steps, 20);
  expect_same_files(whole.options.out, halved.options.out);
}

INSTANTIATE_TEST_SUITE_P(Trainer, EachOptimizer,
                         testing::Values("sgd", "adam", "adamw", "adagrad", "lamb", "adahessian",
                                         "mkor f=3", "mkor backend=lamb form=ema half=bf16",
                                         "mkor-h f=3 switch=5", "mkor-h f=3 switch=12", "kfac",
                                         "kfac form=inverse f=3", "eva", "sngd", "hylo",
                                         "hylo form=kis f=3", "mfac", "ggt",
                                         "mfac m=8 mode=updown storage=bfloat16 fill=skip"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = std::isalnum(c) ? c : '_';
                           return name;
                         });

// Killed in step 14 with checkpoints at 5 and 10: the logs hold rows beyond the checkpoint.
TEST(DISABLED_Trainer, IsKilled) {
  Setting setting{.optimizer = "adam"};
  setting.options.out = std::getenv("RITZ_TEST_OUT");
  setting.options.checkpoint_every = 5;
  setting.options.on_step = [](const StepRecord& record) {
    if (record.step == 14) raise(SIGKILL);
  };
  run(setting);
}

TEST_F(Trainer, KilledAndResumedEqualsUninterrupted) {
  Setting whole{.optimizer = "adam"}, killed = whole;
  whole.options.out = folder("whole");
  run(whole);
  killed.options.out = folder("killed");
  const pid_t pid = ritz::test::start(ritz::test::child_arguments("DISABLED_Trainer.IsKilled"),
                                      {{"RITZ_TEST_OUT", killed.options.out}});
  ASSERT_EQ(ritz::test::finish(pid), 128 + SIGKILL);
  // What a kill in the middle of a write leaves.
  std::ofstream(fs::path(killed.options.out) / "log.csv", std::ios::app) << "14,1.1,0.3";
  killed.options.resume = true;
  EXPECT_EQ(run(killed).result.resumed_from, 10);
  expect_same_files(whole.options.out, killed.options.out);
}

TEST_F(Trainer, AccumulationEqualsOneLargeBatch) {
  Setting large{.dtype = at::kDouble}, parts = large;
  large.options.batch = 24;
  parts.options.batch = 8;
  parts.options.accumulate = 3;
  const auto a = run(large), b = run(parts);
  // Sums of 24 terms in another order, 20 steps: far below 1e-12 in double.
  EXPECT_LT((a.parameters - b.parameters).abs().max().item<double>(), 1e-12);
  EXPECT_NEAR(a.result.log.back().loss, b.result.log.back().loss, 1e-12);
}

// Trains as a rank with batch 24 / P and writes its parameters; rank 1 asks to stop in step 12.
TEST(DISABLED_Trainer, IsARank) {
  auto group = ritz::dist::ProcessGroup::from_environment({.timeout = std::chrono::seconds(60)});
  Setting setting{.optimizer = "adam", .dtype = at::kDouble};
  setting.options.batch = 24 / group.world_size();
  setting.options.out = std::getenv("RITZ_TEST_OUT");
  setting.options.resume = std::getenv("RITZ_TEST_RESUME") != nullptr;
  int asked = 0;
  setting.options.stop = [&] {
    return group.rank() == 1 && !setting.options.resume && ++asked == 12;
  };
  const auto outcome = run(setting, group);
  EXPECT_EQ(outcome.result.steps, setting.options.resume ? 20 : 12);
  const Tensor all = group.all_gather(outcome.parameters).view(at::kLong);
  for (int k = 1; k < group.world_size(); ++k) EXPECT_TRUE(at::equal(all[0], all[k]));
  const int64_t words = outcome.parameters.numel() + 2;
  EXPECT_EQ(outcome.result.words_sent, outcome.result.steps * words);
}

class Ranks : public testing::TestWithParam<int>, protected Folders {};

TEST_P(Ranks, EqualOneRankWithTheWholeBatchAlsoStoppedAndResumed) {
  Setting one{.optimizer = "adam", .dtype = at::kDouble};
  one.options.batch = 24;
  one.options.out = folder("one");
  const auto expected = run(one);
  const std::string out = folder("many");
  for (const bool resume : {false, true}) {
    ritz::test::Environment environment{{"RITZ_TEST_OUT", out}};
    if (resume) environment["RITZ_TEST_RESUME"] = "1";
    for (const pid_t pid :
         ritz::test::start_ranks(GetParam(), "DISABLED_Trainer.IsARank", environment)) {
      ASSERT_EQ(ritz::test::finish(pid), 0);
    }
  }
  auto net = network(at::kDouble);
  ritz::nn::load_checkpoint(net, fs::path(out) / "model.safetensors");
  EXPECT_LT((net.flat_parameters() - expected.parameters).abs().max().item<double>(), 1e-6);
  EXPECT_EQ(rows_without_seconds(fs::path(out) / "log.csv").size(), 21u);
}

INSTANTIATE_TEST_SUITE_P(TwoAndThree, Ranks, testing::Values(2, 3));

TEST_F(Trainer, NonFiniteLossStopsWithFilesWritten) {
  Setting setting;
  setting.options.lr = 1e38;
  setting.options.out = folder("out");
  const auto result = run(setting).result;
  ASSERT_TRUE(result.diverged_at.has_value());
  EXPECT_EQ(result.steps, *result.diverged_at - 1);
  EXPECT_LT(*result.diverged_at, 20);
  EXPECT_TRUE(fs::exists(fs::path(setting.options.out) / "model.safetensors"));
  const auto rows = rows_without_seconds(fs::path(setting.options.out) / "log.csv");
  EXPECT_EQ(rows.size(), static_cast<size_t>(*result.diverged_at) + 1);
  EXPECT_EQ(read_text(fs::path(setting.options.out) / "log.csv").find("nan"), std::string::npos);
}

TEST_F(Trainer, ResumeRefusesAnotherRunByTheNameOfTheDifference) {
  Setting setting;
  setting.options.out = folder("out");
  setting.options.resume = true;
  EXPECT_THROW(run(setting), ritz::DataError);  // no checkpoint
  setting.options.resume = false;
  setting.options.checkpoint_every = 10;
  run(setting);
  setting.options.resume = true;
  setting.optimizer = "lamb";
  try {
    run(setting);
    FAIL() << "a checkpoint of sgd was taken for lamb's";
  } catch (const ritz::DataError& error) {
    EXPECT_NE(std::string(error.what()).find("optimizer: expected \"sgd\""), std::string::npos)
        << error.what();
  }
  setting.optimizer = "sgd";
  setting.options.batch = 4;
  EXPECT_THROW(run(setting), ritz::DataError);
}

TEST_F(Trainer, AFreshRunForgetsTheFoldersOldCheckpoint) {
  Setting setting;
  setting.options.out = folder("out");
  setting.options.checkpoint_every = 10;
  run(setting);
  setting.options.checkpoint_every = 0;
  run(setting);
  EXPECT_FALSE(fs::exists(fs::path(setting.options.out) / "checkpoint.safetensors"));
}

TEST_F(Trainer, AStepThatDoesNotFitIsRefusedBeforeItIsDone) {
  // 6-8-3 in float32: adam keeps 2 x 83 numbers and a counter, the passes of 64 samples more.
  Setting setting{.optimizer = "adam"};
  setting.options.batch = 64;
  setting.options.steps = 2;
  setting.options.out = folder("out");
  EXPECT_NO_THROW(run(setting));
  const std::string model = read_text(fs::path(setting.options.out) / "model.safetensors");
  const auto refused = [&](int64_t limit) -> std::string {
    setting.options.memory_limit = limit;
    try {
      run(setting);
    } catch (const ritz::SystemFailure& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(refused(700).find("not even 8 samples fit"), std::string::npos) << refused(700);
  EXPECT_EQ(read_text(fs::path(setting.options.out) / "model.safetensors"), model);
  const std::string part = refused(9000);
  ASSERT_NE(part.find("a batch of "), std::string::npos) << part;
  // What it says to need is enough, one byte less is not; and the batch it says to fit does.
  const int64_t need = std::stoll(part.substr(part.find("at least ") + 9));
  EXPECT_EQ(refused(need), "");
  EXPECT_NE(refused(need - 1), "");
  setting.options.batch = std::stoll(part.substr(part.find("a batch of ") + 11));
  EXPECT_GT(setting.options.batch, 8);
  EXPECT_EQ(refused(9000), "");
  ++setting.options.batch;
  EXPECT_NE(refused(9000), "");
}

TEST_F(Trainer, TheMemoryToldIsThatOfTheStep) {
  for (const char* model : {"mlp:6-8-3:tanh", "mlp:6-300-200-3"}) {
    auto net = network(at::kFloat, model);
    const Settings settings(find_optimizer("sgd"), std::vector<std::string>{});
    ritz::dist::ProcessGroup alone;
    const auto optimizer = make_optimizer("sgd", {net, 0.1, &alone}, settings);
    const Split data = samples(at::kFloat);
    double peak = 0;
    for (const auto& tensor : optimizer->state_dict()) {
      peak += static_cast<double>(tensor.value.nbytes());
    }
    {
      const ritz::nn::detail::MemoryMeter meter;
      const auto rows = at::arange(64);
      ritz::nn::Loss{}(net.forward(data.inputs.index_select(0, rows)),
                       data.targets.narrow(0, 0, 64))
          .backward();
      peak += static_cast<double>(meter.peak());
    }
    std::string told;
    try {
      train({net, {}, data, *optimizer, alone}, {.batch = 64, .steps = 1, .memory_limit = 1});
    } catch (const ritz::SystemFailure& error) {
      told = error.what();
    }
    const auto need = static_cast<double>(std::stoll(told.substr(told.find("at least ") + 9)));
    EXPECT_NEAR(need / peak, 1, 0.1) << model;
  }
}

/// Halves the rate with each step and counts in a tensor of its own.
class Halving : public Controller {
 public:
  void before_step(int64_t step, Controls& controls) override {
    count_ += 1;
    controls.lr = std::pow(0.5, count_.item<double>());
    controls.momentum = step % 2 == 0 ? 0.5 : 0;
  }
  Statistics statistics() const override { return {{"count", count_.item<double>()}}; }
  std::vector<NamedTensor> state_dict() override { return {{"count", count_}}; }

 private:
  Tensor count_ = at::zeros({}, at::kDouble);
};

TEST_F(Trainer, AControllerSetsTheRateKeepsItsStateAndReports) {
  Setting setting;
  setting.options.out = folder("out");
  setting.options.steps = 6;
  int asked = 0;
  setting.options.stop = [&] { return ++asked == 3; };
  ritz::dist::ProcessGroup alone;
  Halving first, second;
  EXPECT_EQ(run(setting, alone, &first).result.log.back().lr, 0.125);
  setting.options.stop = nullptr;
  setting.options.resume = true;
  EXPECT_EQ(run(setting, alone, &second).result.log.back().lr, std::pow(0.5, 6));
  const std::string log = read_text(fs::path(setting.options.out) / "optimizer.csv");
  EXPECT_TRUE(log.starts_with("step,seconds,count\n")) << log;
  EXPECT_TRUE(log.ends_with(",6\n")) << log;
}

TEST(Evaluate, CountsAllSamplesWhateverTheMicroBatch) {
  auto net = network(at::kDouble);
  const Split split = samples(at::kDouble);
  ritz::dist::ProcessGroup alone;
  const Tensor outputs = net.forward(split.inputs).detach();
  const double loss =
      -outputs.log_softmax(1).gather(1, split.targets.unsqueeze(1)).mean().item<double>();
  const double accuracy = outputs.argmax(1).eq(split.targets).to(at::kDouble).mean().item<double>();
  for (const int64_t micro_batch : {1, 7, 1000}) {
    const auto found = evaluate(net, {}, split, alone, micro_batch);
    EXPECT_NEAR(found.loss, loss, 1e-12);
    EXPECT_NEAR(*found.accuracy, accuracy, 1e-15);
  }
}

}  // namespace
