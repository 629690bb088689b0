# docker build -f deploy/docker/agent.Dockerfile .   (after make build)
# Runs as root in the node's PID namespace: it enters containers and signals their processes.
FROM scratch
COPY bin/agent /agent
WORKDIR /var/lib/podbastion
EXPOSE 7443 7444
ENTRYPOINT ["/agent"]
CMD ["serve", "--config", "/etc/podbastion/agent.yaml"]
