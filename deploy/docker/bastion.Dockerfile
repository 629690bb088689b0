# docker build -f deploy/docker/bastion.Dockerfile .   (after make build)
FROM scratch
COPY bin/bastion /bastion
USER 65532:65532
WORKDIR /var/lib/podbastion
EXPOSE 2222 2223
ENTRYPOINT ["/bastion"]
CMD ["serve", "--config", "/etc/podbastion/bastion.yaml"]
