# One image for the analytics service and the traffic demo; the command picks which.
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml setup.cfg constraints.txt README.md LICENSE ./
COPY exporter exporter
COPY analytics analytics
COPY alerts alerts
RUN python -m venv /opt/asahi \
 && /opt/asahi/bin/pip install --no-cache-dir --constraint constraints.txt ".[analytics]"

FROM python:3.12-slim-bookworm
COPY --from=build /opt/asahi /opt/asahi
RUN useradd --system --uid 10001 --home-dir /var/lib/asahi --create-home asahi
USER asahi
WORKDIR /var/lib/asahi
ENV PATH=/opt/asahi/bin:$PATH PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
ENTRYPOINT ["asahi-obs"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
