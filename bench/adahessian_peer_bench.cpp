// ritz's side of bench/peers/adahessian_peers.py: the same steps of AdaHessian on the same weights,
// batch and probes as the peer's.
//
//     adahessian_peer_bench prepare FOLDER resnet|transformer STEPS   writes weights, batch, probes
//     adahessian_peer_bench run FOLDER resnet|transformer STEPS F THREADS chain|graph
//
// `chain`: as the training loop does, by the network's hand-written kernels; `graph`: by double
// backward. `run` answers with one line of JSON (seconds of each step; the peak of memory above the
// started program's) and leaves the gradient and |D| that the first step saw in
// FOLDER/ritz.safetensors.
#include <torch/types.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "ritz/base/random.h"
#include "ritz/base/threads.h"
#include "ritz/base/timer.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "ritz/nn/models.h"
#include "ritz/nn/network_file.h"
#include "ritz/optim/adahessian.h"

namespace {

using nlohmann::json;
using ritz::Tensor;

ritz::nn::Network network_of(const std::string& kind) {
  return ritz::nn::make_network(kind == "resnet" ? "resnet:20" : "transformer:4x128",
                                {.input_shape = {3, 32, 32}, .outputs = 10, .seed = 1});
}

void write(const std::string& path, const Tensor& x) {
  ritz::io::write_arrays(path, {ritz::io::to_array("", x.contiguous())}, {.force = true});
}
Tensor read(const std::string& path) {
  return ritz::io::to_tensor(ritz::io::read_array(path)).clone();
}

void prepare(const std::string& folder, const std::string& kind, int64_t steps) {
  const auto network = network_of(kind);
  ritz::nn::save_network(network, folder + "/weights.safetensors", {}, true);
  ritz::RandomStream random(2, ritz::stream_id("peers/data"));
  write(folder + "/inputs.npy", random.normal({128, 3, 32, 32}, at::kFloat));
  write(folder + "/targets.npy", random.integers({128}, 0, 10));
  std::vector<Tensor> probes;  // those that AdaHessian will draw
  for (int64_t t = 1; t <= steps; ++t) {
    const auto parameters = network.parameter_values();
    for (size_t i = 0; i < parameters.size(); ++i) {
      const Tensor z = ritz::optim::AdaHessian::probe(0, t, 0, i, parameters[i]);
      probes.push_back(z.to(at::kChar).flatten());
    }
  }
  write(folder + "/probes.npy", at::cat(probes).view({steps, -1}));
  json names = json::array();
  for (const auto& [name, value] : network.parameters) names.push_back(name);
  std::ofstream(folder + "/parameters.json") << names << '\n';
}

// Kilobytes from /proc/self/status.
int64_t status(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key)) return std::stoll(line.substr(key.size() + 1));
  }
  return 0;
}

// After one step m is (1 - beta1) g and v is (1 - beta2) D^2.
void write_first_step(const std::string& folder, const ritz::nn::Network& network,
                      ritz::optim::AdaHessian& optimizer) {
  std::vector<ritz::io::Array> arrays;
  for (const auto& [name, value] : optimizer.state_dict()) {
    const auto dot = name.find('.');
    if (dot == std::string::npos || !name.starts_with("exp_")) continue;
    const auto& parameter = network.parameters[std::stoul(name.substr(dot + 1))].name;
    const bool gradient = name.starts_with("exp_avg.");
    arrays.push_back(
        ritz::io::to_array((gradient ? "g " : "D ") + parameter,
                           gradient ? value / (1 - 0.9) : (value / (1 - 0.999)).sqrt()));
  }
  ritz::io::write_arrays(folder + "/ritz.safetensors", arrays, {.force = true});
}

void run(const std::string& folder, const std::string& kind, int64_t steps, int64_t f, int threads,
         bool chain) {
  ritz::set_threads(threads);
  const auto network = network_of(kind);
  ritz::nn::load_checkpoint(network, folder + "/weights.safetensors");
  const ritz::nn::ModeGuard training(network, true);
  const Tensor inputs = read(folder + "/inputs.npy"), targets = read(folder + "/targets.npy");
  const ritz::nn::Loss loss;
  // No averaging: the peer has none. Decay, eps and rates as the peer is given them.
  ritz::optim::AdaHessian optimizer(
      network.parameter_values(),
      {.lr = 0.05, .eps = 1e-4, .block = {ritz::optim::HessianBlock::Rule::none}},
      {.f = f, .warmup = 0, .hold = true});
  loss(network.forward(inputs.narrow(0, 0, 2)), targets.narrow(0, 0, 2))
      .backward();  // loads what loads on first use
  optimizer.zero_grad();
  ritz::nn::load_checkpoint(network, folder + "/weights.safetensors");
  std::ofstream("/proc/self/clear_refs") << 5;  // the peak counts from here
  const int64_t started = status("VmRSS:");
  json seconds = json::array();
  for (int64_t t = 0; t < steps; ++t) {
    const ritz::Timer timer;
    optimizer.zero_grad();
    if (!chain || !optimizer
                       .differentiate(
                           {.network = network, .rule = loss, .inputs = inputs, .targets = targets})
                       .defined()) {
      optimizer.backward(loss(network.forward(inputs), targets));
    }
    optimizer.step();
    seconds.push_back(timer.seconds());
    if (t == 0) write_first_step(folder, network, optimizer);
  }
  std::cout << json{{"seconds", seconds}, {"peak_kb", status("VmHWM:") - started}} << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() == 4 && words[0] == "prepare") {
      prepare(words[1], words[2], std::stoll(words[3]));
      return 0;
    }
    if (words.size() == 7 && words[0] == "run" && (words[6] == "chain" || words[6] == "graph")) {
      run(words[1], words[2], std::stoll(words[3]), std::stoll(words[4]), std::stoi(words[5]),
          words[6] == "chain");
      return 0;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "adahessian_peer_bench: %s\n", error.what());
    return 1;
  }
  std::fputs(
      "usage: adahessian_peer_bench prepare FOLDER resnet|transformer STEPS | run FOLDER "
      "resnet|transformer STEPS F THREADS chain|graph\n",
      stderr);
  return 2;
}
